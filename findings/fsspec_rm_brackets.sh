#!/bin/bash
# fsspec 2026.9.0 (and s3fs 2026.9.0), seen 30 November 2026: `rm` of a file whose name has brackets removes another
# file, and leaves the one that was named.
#
#    Guess: fs.rm("clip[1].mp4"), a name as `find` gave it, removes that file; the docs call it "path: file(s) to delete".
#    Seen:  rm, cat and get take it for a pattern, also in a list: clip1.mp4 is removed. rm_file, cat_file and get_file
#           take names as they are, and so does LocalFileSystem.rm, so tests with local files do not show it.
#           (That such names are not found is issue 838 of fsspec/filesystem_spec.)
#
# Prints what is seen; exits with 1 if that changes.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/pip install -q "fsspec==2026.9.0"
cat > case.py <<'P'
import sys

import fsspec

memory = fsspec.filesystem("memory")


def left(remove):
    memory.pipe({"/in/clip1.mp4": b"one", "/in/clip[1].mp4": b"two"})
    remove(next(name for name in memory.find("/in") if "[" in name))
    return memory.find("/in")


by_rm, by_rm_file = left(memory.rm), left(memory.rm_file)
print("fsspec", fsspec.__version__)
print("left after rm     ", by_rm)
print("left after rm_file", by_rm_file)
good = (by_rm, by_rm_file) == (["/in/clip[1].mp4"], ["/in/clip1.mp4"])
sys.exit(0 if good else "that has changed")
P
v/bin/python case.py
