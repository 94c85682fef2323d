#!/bin/sh
# Makes .venv and keeps it up to date: `deploy/venv.sh run` for what is needed to run, `dev` for tests as well.
# When nothing has changed it does nothing and needs no network.
set -eu
mode=${1:?run or dev}
cd "$(dirname "$0")/.."
venv=.venv
python=${PYTHON:-python3}

say() { echo "cronkeeper: $*" >&2; exit 1; }

command -v "$python" > /dev/null || say "there is no $python: install Python 3.11 or later (PYTHON= names another one)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    say "$($python --version) is too old: Python 3.11 or later is needed (PYTHON= names another one)"

files=$(find api cli common manager worker -name '*.py' | sort)
wanted=$({ cat setup.cfg pyproject.toml constraints.txt; echo "$files"; pwd; "$python" --version; } | sha256sum)
has() { [ -f "$venv/.$1" ] && [ "$(cat "$venv/.$1")" = "$wanted" ]; }
if has dev || { [ "$mode" = run ] && has run; }; then exit 0; fi

if ! [ -x "$venv/bin/pip" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv" || say "$python can't make $venv: install its venv module (Debian: apt-get install python3-venv)"
fi
extra=""
[ "$mode" = run ] && ! [ -f "$venv/.dev" ] || extra="[dev]"
echo "cronkeeper: installing into $venv (once; later starts need no network)" >&2
pip() { "$venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
# The tools that build come from the constraints too, so that a build is the same everywhere and works offline.
"$venv/bin/python" -c 'import setuptools, sys; sys.exit(int(setuptools.__version__.split(".")[0]) < 77)' 2> /dev/null ||
    pip install -c constraints.txt setuptools || say "the packages could not be fetched (see above)"
rm -rf build
pip install -c constraints.txt --no-build-isolation --editable ".$extra" || say "the packages could not be installed (see above)"
rm -f "$venv/.run" "$venv/.dev"
if [ -n "$extra" ]; then echo "$wanted" > "$venv/.dev"; else echo "$wanted" > "$venv/.run"; fi
