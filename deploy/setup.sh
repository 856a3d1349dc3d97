#!/usr/bin/env bash
# What a fresh Debian machine lacks, one step per argument; each does nothing when there is nothing to do.
#   deploy/setup.sh venv       .venv with the packages of requirements.lock and this checkout in editable mode
#   deploy/setup.sh java       prints a JAVA_HOME with Java 17 or newer (installs one when there is none)
#   deploy/setup.sh chromium   Chromium and its driver, which the test of the report uses
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# apt_install PACKAGE...: installs Debian packages; returns 1 with one line said where that cannot be done.
apt_install() {
    local sudo=()
    command -v apt-get >/dev/null || { say "this is not a Debian or Ubuntu: please install $* yourself"; return 1; }
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { say "please install as root: apt-get install $*"; return 1; }
        sudo=(sudo)
    fi
    say "installing $* with apt-get"
    { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2 ||
        { say "apt-get could not install $*"; return 1; }
}

find_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

setup_venv() {
    local python
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || { apt_install python3 && python=$(find_python); } || die "Python 3.11 or newer is needed"
        "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv || die "the Python module venv is needed"
        "$python" -m venv --clear .venv
    fi
    say "installing the packages of requirements.lock into .venv (the first time: a few minutes, about 1 GB)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
}

# The major version of the Java in a folder; nothing when there is none.
java_major() {
    "$1/bin/java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1
}

# find_java: JAVA_HOME, then `java` of the PATH, then what lies in /usr/lib/jvm; the first that is new enough.
find_java() {
    local home on_path
    on_path=$(type -P java || true)
    for home in "${JAVA_HOME:-}" "${on_path:+$(dirname "$(dirname "$(readlink -f "$on_path")")")}" /usr/lib/jvm/*; do
        if [ -n "$home" ] && [ -x "$home/bin/java" ] && [ "$(java_major "$home")" -ge 17 ] 2>/dev/null; then
            echo "$home"
            return
        fi
    done
    return 1
}

setup_java() {
    find_java && return
    apt_install openjdk-17-jre-headless || apt_install default-jre-headless || die "Java 17 or newer is needed: install it, or set JAVA_HOME"
    find_java || die "Java 17 or newer is needed: install it, or set JAVA_HOME"
}

setup_chromium() {
    local browser
    for browser in chromium chromium-browser google-chrome; do
        if type -P "$browser" >/dev/null; then return; fi
    done
    apt_install chromium chromium-driver || say "without Chromium the browser tests are skipped"
}

case "${1:-}" in
    venv | java | chromium) "setup_$1" ;;
    *) die "usage: deploy/setup.sh venv|java|chromium" ;;
esac
