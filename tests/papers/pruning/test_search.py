"""The search for masks, on problems whose fronts are known."""

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.selection.tournament import TournamentSelection
from scipy import stats

from papers.pruning import fronts, search
from papers.pruning.search import Settings

LENGTH = 10


def leading_ones_trailing_zeros(masks):
    """Minus the number of ones before the first zero, minus that of zeros behind the last one."""
    leading = np.cumprod(masks, axis=1).sum(axis=1)
    trailing = np.cumprod(~masks[:, ::-1], axis=1).sum(axis=1)
    return -np.stack([leading, trailing], axis=1).astype(float)


def density_against_sparsity(masks):
    density = masks.mean(axis=1)
    return np.stack([density, 1 - density], axis=1)


def test_initial_masks_have_uniform_densities(rng):
    masks = search.initial_masks(2000, 1000, rng=rng)
    assert stats.kstest(masks.mean(axis=1), "uniform").pvalue > 0.01


def test_initial_masks_have_ones_at_every_position_equally(rng):
    masks = search.initial_masks(4000, 20, rng=rng)
    counts = masks.sum(axis=0)
    spread = np.sqrt(4000 / 4)  # at most, of a count of half of them
    np.testing.assert_array_less(np.abs(counts - counts.mean()), 4 * spread)


def test_search_is_nsga2_of_pymoo():
    class Known(Problem):
        def __init__(self):
            super().__init__(n_var=LENGTH, n_obj=2, vtype=bool)

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = leading_ones_trailing_zeros(x.astype(bool))

    rng = np.random.default_rng(3)
    theirs = NSGA2(
        pop_size=30,
        n_offsprings=2,
        sampling=search.initial_masks(30, LENGTH, rng=rng),
        selection=TournamentSelection(func_comp=binary_tournament),
        crossover=UniformCrossover(prob=1.0),
        mutation=BitflipMutation(),
        eliminate_duplicates=False,
    )
    theirs.tournament_type = "comp_by_rank_and_crowding"
    theirs.setup(Known(), termination=("n_eval", 200))
    theirs.random_state = rng
    while theirs.has_next():
        theirs.next()
    ours = search.run(leading_ones_trailing_zeros, LENGTH, Settings(), seed=3)
    actual = ours.masks(ours.population)
    np.testing.assert_array_equal(actual, theirs.pop.get("X").astype(bool))


def test_random_search_covers_what_the_law_says():
    # Of n points of uniform density on the line from (0, 1) to (1, 0) the gaps, ends included,
    # have E[g^2] = 2 / ((n + 1)(n + 2)); n + 1 triangles g^2 / 2 of the half square are missed.
    n, repeats = 30, 300
    settings = Settings(method="random_search", population=10, offspring=10, evaluations=n)
    volumes = []
    for seed in range(repeats):
        found = search.run(density_against_sparsity, 1000, settings, seed=seed)
        volumes.append(fronts.hypervolume(found.objectives))
    desired = 1 / 2 - 1 / (n + 2)
    error = np.std(volumes) / np.sqrt(repeats)
    assert abs(np.mean(volumes) - desired) < 4 * error + 1e-3  # densities are whole thousandths


def test_repeated_mask_has_all_its_objectives_and_is_not_evaluated_again():
    seen = []

    def fitness(masks):
        seen.extend(map(bytes, masks))
        return leading_ones_trailing_zeros(masks)

    found = search.run(fitness, 4, Settings(evaluations=100), seed=0)
    assert found.repeated.any() and len(seen) == len(set(seen)) == (~found.repeated).sum()
    desired = leading_ones_trailing_zeros(found.masks())
    np.testing.assert_array_equal(found.objectives, desired)


def test_stale_objective_of_a_repeated_mask_is_its_parents():
    settings = Settings(evaluations=300, stale=(1,))
    found = search.run(leading_ones_trailing_zeros, 6, settings, seed=0)
    true = leading_ones_trailing_zeros(found.masks())
    wrong = (found.objectives != true).any(axis=1)
    assert wrong.any() and found.repeated[wrong].all()
    np.testing.assert_array_equal(found.objectives[:, 0], true[:, 0])


def test_half_the_steps_of_many_offspring_use_as_many_evaluations():
    settings = Settings(offspring=30, evaluations=200)
    found = search.run(leading_ones_trailing_zeros, LENGTH, settings, seed=0)
    assert found.evaluations == 200


@pytest.mark.parametrize(
    ("fields", "seed", "length", "sentence"),
    [
        ({"method": "random_search"}, 0, LENGTH, "method = nsga2, not random_search"),
        ({}, 5, LENGTH, "seed = 0, not 5"),
        ({}, 0, LENGTH + 1, f"length = {LENGTH}, not {LENGTH + 1}"),
    ],
)
def test_checkpoint_of_another_search_is_refused(fields, seed, length, sentence, tmp_path):
    file = tmp_path / "search.pt"
    search.run(leading_ones_trailing_zeros, LENGTH, Settings(), seed=0, checkpoint=file)
    settings = Settings(**fields)
    with pytest.raises(ValueError, match=sentence):
        search.run(leading_ones_trailing_zeros, length, settings, seed=seed, checkpoint=file)
