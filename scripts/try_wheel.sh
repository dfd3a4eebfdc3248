#!/usr/bin/env bash
# Build the wheel and try it as a user has it: in a fresh environment, away from the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
pip=("$place/env/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" wheel --no-deps --wheel-dir "$place" .
"${pip[@]}" install --constraint constraints.txt "$place"/jaxbq-*.whl
cd "$place"
unset PYTHONPATH
env/bin/python -c '
import importlib.resources, pathlib, sys
package = pathlib.Path(str(importlib.resources.files("jaxbq")))
if not package.is_relative_to(sys.prefix) or not (package / "py.typed").exists():
    sys.exit(f"{package}: not the wheel, or without py.typed")
'
env/bin/jaxbq configs
env/bin/jaxbq configs smoke >mine.toml
env/bin/jaxbq run smoke --out runs
env/bin/jaxbq run mine.toml --out mine
# The same config, by name and copied, names the same folder.
test -s "mine/$(cd runs && echo smoke-*)/scores.csv"
