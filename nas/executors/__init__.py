"""Where jobs run, one file each: a `concurrent.futures.Executor` whose workers hold a prepared evaluator."""
