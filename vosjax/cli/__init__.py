"""The commands of `vosjax`: each module has `configure(parser)` and `run(args)`."""
