"""`python -m dentryproof`: the `prove` command under a name that no other package installs."""

from .proofs.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
