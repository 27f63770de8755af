"""`python -m dentryproof`: the `prove` command under a name that no other package installs."""

from .commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
