"use strict";
(() => {
  const PAGE = 100;
  const form = document.getElementById("filters");
  if (!form) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const list = document.getElementById("list");
  const shown = document.getElementById("shown");
  const more = document.getElementById("more");
  const search = document.getElementById("search");
  const nodes = [...list.children];
  const inPage = nodes.length;
  const place = new Map(data.index.map((entry, number) => [entry.id, number]));
  const all = data.index.map((_, number) => number);
  let matching = all;
  let limit = PAGE;

  // A document made by DOMParser runs no script, and every value in the fragment was escaped when the report was written.
  const node = (number) => (nodes[number] ??= document.importNode(
    new DOMParser().parseFromString(data.rest[number - inPage], "text/html").body.firstElementChild, true));

  const orders = {
    urgent: (a, b) => a - b,
    newest: (a, b) => data.index[b].time - data.index[a].time || a - b,
    oldest: (a, b) => data.index[a].time - data.index[b].time || a - b,
  };

  const test = () => {
    const fields = new FormData(form);
    const severities = new Set(fields.getAll("severity"));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const picked = ["threat", "host", "source"].map((name) => [name, fields.get(name)]).filter(([, value]) => value);
    return (number) => {
      const entry = data.index[number];
      return severities.has(entry.severity)
        && picked.every(([name, value]) => entry[name].includes(Number(value)))
        && words.every((word) => entry.text.includes(word));
    };
  };

  const draw = () => {
    list.replaceChildren(...matching.slice(0, limit).map(node));
    const count = (number) => number.toLocaleString("en");
    const alerts = all.length === 1 ? "alert" : "alerts";
    shown.textContent = matching.length === all.length
      ? `${count(all.length)} ${alerts}`
      : `${count(matching.length)} of ${count(all.length)} ${alerts}`;
    if (!matching.length) shown.textContent += ". Clear the filters to see them again.";
    more.hidden = matching.length <= limit;
    more.textContent = `Show more (${count(Math.max(matching.length - limit, 0))} left)`;
  };

  const filter = () => {
    matching = all.filter(test()).sort(orders[form.elements.order.value]);
    limit = PAGE;
    draw();
  };

  const openFromHash = () => {
    let id;
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const number = place.get(id);
    if (number === undefined) return;
    if (!matching.includes(number)) { form.reset(); filter(); }
    limit = Math.max(limit, matching.indexOf(number) + 1);
    draw();
    const found = node(number);
    found.open = true;
    found.scrollIntoView({ block: "start" });
    found.querySelector("summary").focus({ preventScroll: true });
  };

  let waiting;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(filter, 80); };
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { limit += PAGE; draw(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-search]");
    if (!link) return;
    form.reset();
    search.value = link.dataset.search;
    filter();
  });
  addEventListener("hashchange", openFromHash);

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...list.children].filter((alert) => !alert.open);
    opened.forEach((alert) => { alert.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((alert) => { alert.open = false; }));

  form.hidden = false;
  filter();
  openFromHash();
})();
