"""Pictures: of the computation graph, ``graph(loss, params=model).save("graph.svg")``; of a
training, ``curves``, ``activations`` and ``gradients`` of a ``Recorder``; of a model, ``summary``.
"""

from typing import TYPE_CHECKING

from .. import public
from .drawing import graph
from .model import Cluster, Graph, GraphEdge, GraphNode, from_json, to_json
from .picture import Picture
from .trace import trace

__all__ = [
    "Cluster", "Graph", "GraphEdge", "GraphNode", "History", "Picture", "Recorder", "Summary",
    "activations", "curves", "from_json", "gradients", "graph", "summary", "to_json", "trace",
]  # fmt: skip

if TYPE_CHECKING:
    from .recording.activations import activations
    from .recording.curves import curves
    from .recording.gradients import gradients
    from .recording.history import History
    from .recording.recorder import Recorder
    from .table.summary import Summary, summary

LATER = {"History": ".recording.history", "Recorder": ".recording.recorder",
         "Summary": ".table.summary", "activations": ".recording.activations",
         "curves": ".recording.curves", "gradients": ".recording.gradients",
         "summary": ".table.summary"}
"""What a drawing of a graph does not need, and the files that are imported when it is asked for."""

public.publish(globals(), LATER)
