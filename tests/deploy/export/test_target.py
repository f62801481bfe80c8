from __future__ import annotations

from exported_models import linear
from onnx import ModelProto

from headstart.deploy.export.pictures import Material, noise
from headstart.deploy.export.target import FLOAT, INT8, Parts, always
from headstart.models.bundle import Ensemble


def test_what_is_built_from_the_graph_follows_the_quantised_one(parts: Parts) -> None:
    own = Parts(parts.ensemble, parts.material)
    own.__dict__["float_graph"] = parts.float_graph  # computed once for all tests
    plain = own.graph()
    assert own.precision == FLOAT and plain is not parts.float_graph
    assert not parts.float_graph.metadata_props and plain.metadata_props
    quantised = ModelProto()
    quantised.CopyFrom(parts.float_graph)
    quantised.graph.name = "in eight bits"
    own.use(quantised)
    assert own.precision == INT8 and own.facts["precision"] == INT8
    assert own.graph().graph.name == "in eight bits" and own.float_graph is parts.float_graph


def test_inputs_are_those_of_the_ensemble() -> None:
    made = Parts(Ensemble((linear(), linear(size=48, seed=1))), Material(noise()))
    assert [each.view.crop for each in made.inputs] == [32, 48]


def test_no_model_is_refused_where_every_one_can_be_written(parts: Parts) -> None:
    assert always(parts.ensemble) is None
