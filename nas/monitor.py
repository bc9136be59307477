"""`python -m nas.monitor RUN`: the NNI web UI of a run."""

from nas.web.serve import main

if __name__ == "__main__":
    raise SystemExit(main())
