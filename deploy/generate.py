"""Writes what is generated from pipeline/schema.py. `make generate` runs it; a test proves that the files are current."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline import shapes  # noqa: E402


def generated() -> dict[Path, str]:
    """Every generated file of the repository and its text."""
    return {ROOT / "deploy/elasticsearch/component-template.json": json.dumps(shapes.elasticsearch_template(), indent=2) + "\n",
            ROOT / "deploy/schema.md": shapes.markdown()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
