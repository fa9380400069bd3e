"""Which selection of documents teaches a model to translate? Continued training on every arm, in generated pools.

`setting` holds the worlds and sizes; `pool` makes a pool and scores its documents; `arms` selects; `base` and `training`
train; `unit` is one pool and seed, `grid` one point of the grid; `units` runs them all; `statements` and `summary` say
what came out; `recorded` holds the figures of a finished experiment.
"""
