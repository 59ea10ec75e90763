"""Drop and grow rules of one's own: where they run, and how a run's name covers them."""

import dataclasses
import functools
import json
import pickle
import re

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from lib import growth
from lib.evolution import DROP_RULES, SCHEDULES, Evolution
from lib.own_rules import OwnRule
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.config import from_fields
from tests.checkouts import ROOT

STEEPNESS = 2
TABLE = [1, 2]
TABLES = (TABLE, 3)

CELL = '''
def drop_unmoved(site, fraction, *, generator):
    """The links that the optimiser moves least."""
    n = int(fraction * len(site.values))
    speed = site.state["momentum_buffer"].abs()
    is_dropped = torch.zeros(len(speed), dtype=torch.bool)
    is_dropped[speed.topk(n, largest=False).indices] = True
    return is_dropped

def grow_first(site, n, *, generator):
    """The free positions of largest gradient in the first rows that have any."""
    is_free = torch.ones(site.positions, dtype=torch.bool)
    is_free[site.occupied_keys] = False
    assert site.gradient().shape == (site.n_out, site.n_in)
    return is_free.nonzero().squeeze(1)[:n]

grow_first.needs_gradient = True
'''

FIT = """
split, net = data.load("digits"), models.mlp([64, 20, 10], density=0.2, seed=0)
rules = Evolution(drop=drop_unmoved, grow=grow_first)
replaced = fit(net, split, Settings(2, evolution=rules), seed=0).metrics[0]["replaced"]
"""

EVOLVER = """
net = torch.nn.Sequential(torch.nn.Linear(64, 10))
sparsify_(net, density=0.2)
optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
rules = Evolution(drop=drop_unmoved, grow=grow_first)
generator = torch.Generator().manual_seed(0)
evolver = Evolver(net, optimiser, rules, every=1, steps=10, generator=generator)
for _ in range(2):
    optimiser.zero_grad()
    x = split.x_train.flatten(1).to(net[0].values)
    torch.nn.functional.cross_entropy(net(x), split.y_train).backward()
    optimiser.step()
    replaced = evolver.step()
"""

RUN = """
size = {"hidden": (20,), "density": 0.2, "epochs": 2}
run = SparseTraining("mine", dataset="digits", drop=drop_unmoved, grow=grow_first, **size)
experiment = training("mine", lambda profile: [run])
store = Store({"mine": experiment}, runs=folder)
(record,) = executors.sweep(store, [run], progress=False)
replaced = record.metrics["replaced"][0]
assert store.stored(run).config == run
"""


@pytest.fixture
def notebook(tmp_path):
    """A notebook that has imported the library and the rules' cell, and runs cells."""
    shell = InteractiveShell()
    shell.user_ns["folder"] = tmp_path

    def run(cell):
        shell.run_cell(cell, store_history=True).raise_error()
        return shell.user_ns

    run(
        "import torch\n"
        "from lib import data, models\n"
        "from lib.evolution import Evolution\n"
        "from lib.papers.shared.sparse_training import SparseTraining\n"
        "from lib.papers.shared.training import training\n"
        "from lib.runs import executors\n"
        "from lib.runs.records import Store\n"
        "from lib.settings import Settings\n"
        "from lib.sparsify import Evolver, sparsify_\n"
        "from lib.train import fit\n"
    )
    run(CELL)
    return run


def test_a_rule_of_a_notebook_runs_in_fit_in_an_evolver_and_in_an_experiment(notebook):
    assert notebook(FIT)["replaced"] > 0
    assert notebook(EVOLVER)["replaced"] > 0
    assert notebook(RUN)["replaced"] > 0
    name = notebook("name = run.name")["name"]
    notebook(CELL.replace("least", "the least"))  # typed anew, with another text
    assert notebook(RUN + "other = run.name")["other"] != name
    notebook(CELL)
    assert notebook(RUN + "again = run.name")["again"] == name


GUIDE = (ROOT / "docs" / "EXTEND.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## A rule of your own")[2].partition("\n## ")[0]


def test_the_guide_runs(notebook):
    fitted, kept = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len(notebook(fitted)["history"].metrics) == 3
    records = notebook(kept.replace("runs)})", "runs)}, runs=folder)"))["records"]
    assert [record.config.seed for record in records] == [0, 1]
    assert records[0].config.drop.startswith("drop_unmoved-")


def test_the_guide_names_every_rule():
    rows = re.findall(r"^\| (.*?) \| `(Evolution\(.*?\))` \|", SECTION, re.MULTILINE)
    rules = [eval(made, {"Evolution": Evolution}) for _, made in rows]
    controls = {"largest", "random"}
    assert {rule.drop for rule in rules} == DROP_RULES.keys() - controls
    assert {rule.grow for rule in rules} == growth.GROW_RULES.keys()
    assert {rule.density_schedule for rule in rules} == set(SCHEDULES)


# --------------------------------------------------------------------------------- the identity


def smallest(values):
    return values.abs() < STEEPNESS


def drop_small(site, fraction, *, generator):
    return smallest(site.values)


def drop_by_tables(site, fraction, *, generator):
    return site.values < TABLES[0][0]


def drop_by_table(site, fraction, *, generator):
    return site.values < TABLE[0]


def grow_as_set(site, n, *, generator):
    return growth.grow_random(site, n, generator=generator)


def run_with(**rules):
    return SparseTraining("mine", **{"drop": "sign", **rules})


def test_the_name_of_a_run_covers_the_rules():
    names = {
        run_with().name,
        run_with(drop=drop_small).name,
        run_with(grow=grow_as_set).name,
        run_with(drop=drop_small, grow=grow_as_set).name,
    }
    assert len(names) == 4
    assert run_with(drop=drop_small).name == run_with(drop=drop_small).name


@pytest.mark.parametrize(
    ("variable", "value"), [("STEEPNESS", 3), ("smallest", grow_as_set)], ids=["number", "function"]
)
def test_the_name_covers_what_a_rule_uses_from_outside(variable, value, monkeypatch):
    before = run_with(drop=drop_small).name
    monkeypatch.setitem(globals(), variable, value)
    assert run_with(drop=drop_small).name != before


def test_the_name_covers_what_a_rule_encloses_and_whether_it_needs_gradients():
    def rule_of(share, start=0):
        def drop_share(site, fraction, *, generator, start=start):
            return torch.arange(len(site.values)) - start < share * len(site.values)

        return drop_share

    asking = rule_of(0.1)
    asking.needs_gradient = True
    rules = rule_of(0.1), rule_of(0.2), rule_of(0.1, start=1), asking
    assert len({run_with(drop=rule).name for rule in rules}) == 4
    assert run_with(drop=rule_of(0.1)).name == run_with(drop=rules[0]).name


def test_a_variable_of_the_name_of_an_attribute_is_not_one_that_the_rule_uses(monkeypatch):
    before = run_with(drop=drop_small).name
    monkeypatch.setitem(globals(), "values", torch.ones(3))
    assert run_with(drop=drop_small).name == before


def test_a_run_with_rules_is_copied_sent_and_written():
    run = run_with(drop=drop_small, grow=grow_as_set)
    for copy in (pickle.loads(pickle.dumps(run)), dataclasses.replace(run, seed=0)):
        assert copy.name == run.name
        drop = copy.settings().evolution.drop_rule
        assert drop(growth.Site(2, 1, None, values=torch.ones(2)), 0, generator=None).all()
    read = from_fields(json.loads(json.dumps(run.fields_to_write())))
    assert read == run and read.drop.startswith("drop_small-")
    with pytest.raises(ValueError, match="unknown drop 'drop_small-"):
        read.settings()


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            lambda site, fraction, *, generator: site.values > 0,
            "give a function made by def, no lam",
        ),
        (
            functools.partial(drop_small),
            "source of rule partial, which identifies a run, cannot be",
        ),
        (eval("lambda: 0"), "give a function made by def"),
        (drop_by_table, "rule drop_by_table uses TABLE, a list from outside"),
        (drop_by_tables, "rule drop_by_tables uses TABLES, a tuple from outside"),
    ],
)
def test_a_rule_that_does_not_identify_a_run_is_refused(rule, sentence):
    with pytest.raises(ValueError, match=sentence):
        run_with(drop=rule)


def test_a_rule_without_a_source_is_refused():
    space = {}
    exec(
        "def drop_none(site, fraction, *, generator):\n    return site.values != site.values", space
    )
    with pytest.raises(ValueError, match="source of rule drop_none, which identifies a run"):
        run_with(drop=space["drop_none"])


def test_a_rule_that_a_run_holds_is_called_as_the_function():
    rule = OwnRule.of(drop_small)
    assert not Evolution(drop=rule).needs_gradient
    site = growth.Site(3, 1, None, values=torch.tensor([1.0, 2.0, -3.0]))
    assert rule(site, 0.5, generator=None).tolist() == [True, False, False]
