import sys

if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the current folder: a queue.py among the user's data must not be imported

from speechkit.cli import main

main()
