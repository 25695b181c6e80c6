#!/bin/sh
# Build what is published and use it as a newcomer would: on every supported Python that is here, each in an
# environment of its own, with the locked requirements. Arguments: TWINE, then the Python that builds.
set -eu
twine=$1 builder=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
rm -rf dist/vmie-*
"$builder" -m build --no-isolation >"$place/build.log" 2>&1 || { cat "$place/build.log"; exit 1; }
"$twine" check --strict dist/vmie-*
size=$(wc -c <"$(echo dist/vmie-*.tar.gz)")
[ "$size" -lt 3145728 ] || { echo "the sdist has $size bytes, 3 MiB at most are wanted"; exit 1; }
truncate -s 8M "$place/disk.img"
tried=0
for minor in 11 12 13 14; do
    for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python; do
        "$python" -c "import sys, venv; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null || continue
        "$python" -m venv "$place/$minor"
        bin=$place/$minor/bin
        "$bin/python" -m pip -q --disable-pip-version-check install --require-hashes -r requirements/demo.txt
        "$bin/python" -m pip -q --disable-pip-version-check install --no-deps dist/vmie-*.whl
        "$bin/python" -m pip -q --disable-pip-version-check check
        (
            cd "$place"
            export VMIE_STATE="$place/state"
            "$bin/vmie" --version
            "$bin/vmie" check disk.img >check.txt && exit 1 || [ $? = 4 ] # an empty disk: AWS would refuse it
            "$bin/vmie" convert --force disk.img disk.vmdk >/dev/null
            "$bin/vmie" --sandbox tasks list >/dev/null
        ) || { echo "Python 3.$minor: the installed vmie fails"; exit 1; }
        echo "Python 3.$minor: installed from the wheel, and works ($(du -sm "$place/$minor/lib" | cut -f1) MB with the sandbox)"
        rm -rf "${place:?}/$minor"
        tried=$((tried + 1))
        break
    done
done
[ "$tried" -gt 0 ] || { echo "there is no Python 3.11 or newer"; exit 1; }
