"""How costs grow: with the networks trained as one, with the trials of a search, with the workers of a cluster.

`python -m benchmarks.scaling members`, `coordinator` or `cluster`.
"""

from __future__ import annotations

import argparse


def main() -> None:
    parser = argparse.ArgumentParser(description="How costs grow with members, trials and workers.")
    parser.add_argument("what", choices=("members", "coordinator", "cluster"))
    parser.add_argument("--strategies", nargs="+", default=["random", "evolution", "reinforce"])
    parser.add_argument("--trials", type=int, default=10_000, help="of the coordinator's searches")
    parser.add_argument("--long", action="store_true", help="random for up to 100,000 trials or three minutes")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 60], help="of the cluster's trials, means")
    args = parser.parse_args()
    if args.what == "members":
        from benchmarks import members

        print(members.measure())
    elif args.what == "coordinator":
        from benchmarks import coordinator

        print(coordinator.measure(args.strategies, args.trials, args.long))
    else:
        from benchmarks import cluster

        print(cluster.measure([spec for spec in args.strategies if spec != "random"], args.seconds))


if __name__ == "__main__":
    main()
