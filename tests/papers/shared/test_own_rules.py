"""Drop and grow rules of one's own: where they run, and how a run's name covers them."""

import dataclasses
import functools
import hashlib
import importlib
import inspect
import json
import pickle
import re

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from lib import growth
from lib.evolution import DROP_RULES, SCHEDULES, Evolution
from lib.runs.config import from_fields
from papers.shared.own_rules import OwnRule
from papers.shared.sparse_training import SparseTraining
from tests.checkouts import ROOT

STEEPNESS = 2
TABLES = ([1, 2], 3)

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
sparsify_(net, start="magnitude", density=0.2)
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
        "from papers.shared.sparse_training import SparseTraining\n"
        "from papers.shared.training import training\n"
        "from lib.runs import executors\n"
        "from lib.runs.records import Store\n"
        "from lib.train import Settings\n"
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


def grow_as_set(site, n, *, generator):
    return growth.grow_random(site, n, generator=generator)


class Scorer(torch.nn.Module):
    def forward(self, values):
        return values > 0


SCORE = Scorer()
THIS_MODULE = importlib.import_module(__name__)


def decorated(function):
    @functools.wraps(function)
    def inverted(*args, **options):
        return ~function(*args, **options)

    return inverted


@decorated
def drop_decorated(site, fraction, *, generator):
    return site.values > 0


def drop_by_decorated(site, fraction, *, generator):
    return drop_decorated(site, fraction, generator=generator)


def drop_by_object(site, fraction, *, generator):
    return SCORE(site.values)


def drop_by_class(site, fraction, *, generator):
    return Scorer()(site.values)


def drop_by_module(site, fraction, *, generator):
    return THIS_MODULE.smallest(site.values)


def drop_by_import(site, fraction, *, generator):
    from tests.checkouts import ROOT

    return site.values < len(ROOT.name)


def drop_by_relative_import(site, fraction, *, generator):
    from .papers import statistics

    return site.values < statistics.LEAST


def drop_by_packages(site, fraction, *, generator):
    import math

    return full((len(site.values),), math.floor(fraction) > 0)


full = torch.full


def drop_by_function_within(site, fraction, *, generator):
    def score():
        return smallest(site.values)

    return score()


def drop_by_class_within(site, fraction, *, generator):
    class Score:
        least = STEEPNESS

    return site.values < Score.least


def drop_by_name_of_a_class(site, fraction, *, generator):
    class Score:
        LISTED = 3
        least = 2 * LISTED

    return site.values < Score.least


def drop_by_attribute(site, fraction, *, generator):
    return site.values < drop_by_attribute.least


drop_by_attribute.least = 1


def drop_by_function_of_attribute(site, fraction, *, generator):
    return drop_by_attribute(site, fraction, generator=generator)


def drop_in_turns(site, fraction, *, generator):
    return then(site.values, 3)


def halved(values, times):
    return then(values / 2, times - 1) if times else values > 1


def doubled(values, times):
    return before(values * 2, times - 1) if times else values > 1


then, before = doubled, halved


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


USED = [  # a rule, a variable that it uses from outside, and another value
    (drop_small, "STEEPNESS", 3),
    (drop_small, "smallest", grow_as_set),
    (drop_by_function_within, "STEEPNESS", 3),
    (drop_by_class_within, "STEEPNESS", 3),
    (drop_in_turns, "then", halved),
    (drop_in_turns, "before", doubled),
]
UNUSED = [  # a rule, and a variable of the name of an attribute, or of a class within
    (drop_small, "values", [1, 2]),
    (drop_by_name_of_a_class, "LISTED", [1, 2]),
]


@pytest.mark.parametrize(("rule", "variable", "value"), [*USED, *UNUSED])
def test_the_name_covers_what_a_rule_uses_from_outside(rule, variable, value, monkeypatch):
    before = run_with(drop=rule).name
    monkeypatch.setitem(globals(), variable, value)
    assert (run_with(drop=rule).name == before) == ((rule, variable, value) in UNUSED)


@pytest.mark.parametrize("rule", [drop_by_attribute, drop_by_function_of_attribute])
def test_the_name_covers_attributes_of_functions(rule, monkeypatch):
    before = run_with(drop=rule).name
    monkeypatch.setattr(drop_by_attribute, "least", 2)
    assert run_with(drop=rule).name != before


def test_the_digest_is_that_of_the_sources_and_numbers():
    sources = [inspect.getsource(drop_small), inspect.getsource(smallest)]
    text = "{}\nneeds_gradient = False\n{}\nneeds_gradient = False\nSTEEPNESS = 2".format(*sources)
    assert OwnRule.of(drop_small) == f"drop_small-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def test_the_name_covers_functions_of_ones_own_in_other_modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    names = set()
    for module, power in [("first_scores", 1), ("second_scores", 3)]:
        (tmp_path / f"{module}.py").write_text(
            f"def smallest(w):\n    return w.abs()**{power} < 1\n"
        )
        scores = importlib.import_module(module)
        monkeypatch.setitem(globals(), "smallest", scores.smallest)
        names.add(OwnRule.of(drop_small))
    assert len(names) == 2


def test_packages_may_be_used():
    assert OwnRule.of(drop_by_packages).startswith("drop_by_packages-")


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
            "partial is no plain function, so that its source does not show all it does",
        ),
        (drop_by_tables, "rule drop_by_tables uses TABLES, a tuple from outside"),
        (drop_by_object, "rule drop_by_object uses SCORE, a Scorer from outside"),
        (drop_by_class, "rule drop_by_class uses Scorer, a class from outside"),
        (drop_by_module, "rule drop_by_module uses THIS_MODULE, a module from outside"),
        (drop_by_import, "rule drop_by_import uses tests.checkouts, a module from outside"),
        (drop_by_relative_import, "uses tests.papers.shared.papers, a module from outside"),
        (drop_decorated, "drop_decorated is no plain function"),
        (drop_by_decorated, "drop_decorated is no plain function"),
        (SCORE, "Scorer is no plain function"),
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
