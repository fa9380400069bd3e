"""Which selection of documents teaches a model to translate? Continued training on every arm, in generated pools.

`setting` holds the worlds and sizes. `pool` makes a pool and scores its documents; `arms` and `rewritten` select from
it. `training` trains and `asking` asks. `unit` is one pool and seed, `grid` one seed of the grid, and `units` runs them
all. `statements` and `summary` say what came out; `recorded` holds the figures of a finished experiment.
"""
