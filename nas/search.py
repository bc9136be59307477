"""`python -m nas.search`: the command line. (`nas.search(...)`, the function, is in `nas.api`.)"""

from nas.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
