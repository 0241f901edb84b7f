"""The computation graph as a picture: ``graph(loss, params=model).save("graph.svg")``."""

from .picture import Picture, graph
from .trace import Cluster, Graph, GraphEdge, GraphNode, trace

__all__ = ["Cluster", "Graph", "GraphEdge", "GraphNode", "Picture", "graph", "trace"]
