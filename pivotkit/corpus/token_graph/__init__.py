"""The token graph: how much any two tokens of a corpus occur together within a window."""

from pivotkit.corpus.token_graph.build import token_graph
from pivotkit.corpus.token_graph.graph import TokenGraph

__all__ = ["TokenGraph", "token_graph"]
