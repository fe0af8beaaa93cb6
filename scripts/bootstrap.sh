#!/bin/sh
# Find a Python and let it bring the environment up to date: bootstrap.sh VENV [EXTRA...]
# An existing environment is used as it is; otherwise the first of the candidates that starts,
# is new enough and can make environments (Debian splits that off into python3-venv).
set -eu
here=$(dirname "$0")
venv=$1
candidates="${PYTHON:-} $venv/bin/python python3.11 python3.12 python3.13 python3"
for python in $candidates; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1; then
        exec "$python" "$here/install.py" "$@"
    fi
done
echo "limsup needs Python 3.11 or newer with its venv module; none was found." \
    "Install it (Debian/Ubuntu: apt install python3 python3-venv) or name one: make demo PYTHON=..." >&2
exit 1
