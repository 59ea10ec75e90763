"""Likelihoods of the machines that were run, chosen by validation, beside Table 2.

A run is one machine: its likelihoods are those of the evaluated epoch that is best by validation,
by the schedule of most temperatures; where that is impossible they are missing.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.papers.set.rbm import ais
from lib.papers.shared.claims import chosen
from lib.paths import REFERENCE
from lib.report import labels
from lib.report.intervals import t_interval
from lib.runs.record import Record

Records = Sequence[Record]
PUBLISHED = ("grid", "one setting")  # variants with the rate and the weight decay of the paper
COMPARED = (*PUBLISHED, "tuned")  # of these validation chooses; the others are runs beside
PAPER_NAMES = {  # of the data sets in Table 2
    "adult": "ADULT",
    "connect4": "Connect4",
    "dna": "DNA",
    "mushrooms": "Mushrooms",
    "nips": "NIPS-0-12",
    "ocr_letters": "OCR-letters",
    "web": "Web",
    "caltech28": "CalTech 101 Silhouettes 28x28",
    "mnist": "MNIST",
}
OWN_DATA = {  # why nats are not those of the paper
    "web": "own split",
    "caltech28": "own split",
    "mnist": "sampled once",
}
MODELS = {"RBM": ["dense"], "RBM_FixProb": ["fixed", "fixed_final"], "SET-RBM": ["set"], "XBM": []}
RIVALS = ("fixed_final", "fixed", "dense")  # of SET
SETTING = ["hidden", "cd", "rate", "decay", "epochs"]
KEYS = ["dataset", "method", "variant", *SETTING, "seed"]
NUMBERS = ["best_epoch", "links", "valid", "test", "se", "valid_short", "test_short", "se_short"]
NUMBERS += ["sd", "ess", "best_on_test", "last_test", "impossible"]

# ---------------------------------------------------------------------------------------- runs


def outcomes(records: Records) -> pd.DataFrame:
    """Every run, a row.

    Returns: columns dataset, method, variant, hidden, cd, rate and decay (of the weights),
        epochs, seed, best_epoch, links (of that machine), valid, test, se (by the full schedule),
        valid_short, test_short, se_short, sd and ess (of the full one), best_on_test (the largest
        after any evaluated epoch), last_test, impossible (estimates above their ceiling after
        epochs, or at the end). Of fewer than :data:`lib.papers.set.rbm.ais.LEAST_ESS` effective
        chains valid, test, valid_short and test_short are missing.
    """
    rows = [_outcome(record) for record in records]
    return pd.DataFrame(rows, columns=[*KEYS, *NUMBERS])


def _outcome(record: Record) -> dict:
    run, final = record.config, record.environment["final"]
    best, metrics = final["best"], record.metrics
    row = {"dataset": run.dataset, "method": run.method, "variant": run.variant}
    row |= {"hidden": run.hidden[0], "cd": run.cd_steps}
    row |= {"rate": run.learning_rate, "decay": run.weight_decay}
    row |= {"seed": run.seed, "epochs": run.epochs}
    row |= {"best_epoch": final["best_epoch"], "links": best["links"]}
    for end, schedule in (("", "full"), ("_short", "short")):
        estimate = best[schedule]
        for part in ("valid", "test"):
            is_sound = estimate[f"{part}_possible"] and estimate["ess"] >= ais.LEAST_ESS
            row[part + end] = estimate[part] if is_sound else np.nan
        row["se" + end] = estimate["se"]
    row |= {"sd": best["full"]["sd"], "ess": best["full"]["ess"]}
    row |= {"best_on_test": metrics["test"].max(), "last_test": metrics["test"].iloc[-1]}
    row["impossible"] = int(metrics["impossible"].sum()) + int(not best["full"]["test_possible"])
    return row


def selected(outcomes: pd.DataFrame, variants: Sequence[str] = COMPARED) -> pd.DataFrame:
    """The rows of the setting of each data set and method whose mean validation likelihood is the
    largest, all its seeds.

    Args:
        outcomes: of :func:`outcomes`.
        variants: among which is chosen.
    """
    compared = outcomes[outcomes["variant"].isin(variants)]
    parts = [compared.iloc[:0]]
    for _, of_method in compared.groupby(["dataset", "method"], sort=False):
        means = of_method.groupby(SETTING)["valid"].mean()
        if means.notna().any():
            best = of_method.set_index(SETTING).loc[[means.idxmax()]]
            parts.append(best.reset_index())
    return pd.concat(parts)


def curves(records: Records, variant: str = "grid") -> pd.DataFrame:
    """Test likelihood after the evaluated epochs: columns dataset ("CD-1", …), setting ("100
    hidden", …), method, seed, epoch, test.
    """
    parts = []
    for record in chosen(records, variant=variant):
        run = record.config
        names = {"dataset": f"CD-{run.cd_steps}", "setting": f"{run.hidden[0]} hidden"}
        names |= {"method": run.method, "seed": run.seed}
        parts.append(record.metrics[["epoch", "test"]].assign(**names))
    columns = ["dataset", "setting", "method", "seed", "epoch", "test"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def tried(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Largest validation likelihood of every learning rate and weight decay that was tried, nats: a
    row a setting, a column a method; one seed.
    """
    settings = outcomes[outcomes["variant"] == "tried"]
    table = settings.pivot_table("valid", ["hidden", "rate", "decay"], "method", sort=False)
    return table.rename(columns=labels.method_name)


def best_tried(records: Records, fields: Sequence[str]) -> dict[str, dict]:
    """Of what was tried, the fields of the machine that validation likes best, by method; the first
    of equal ones. Machines whose likelihood is impossible are left out.
    """
    best: dict[str, tuple[float, dict]] = {}
    for record in chosen(records, variant="tried"):
        run, valid = record.config, _outcome(record)["valid"]
        known = best.get(run.method)
        if not np.isnan(valid) and (known is None or valid > known[0]):
            best[run.method] = valid, {name: getattr(run, name) for name in fields}
    return {method: setting for method, (_, setting) in best.items()}


# -------------------------------------------------------------------------------------- tables


def summary(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The settings selected on validation, a row a data set and method: likelihoods in nats, mean ±
    sd over n seeds; *se*: the largest standard error of log Z among them.
    """
    rows = []
    for (dataset, method), group in selected(outcomes).groupby(["dataset", "method"], sort=False):
        first = group.iloc[0]
        row = {"dataset": labels.dataset(dataset), "method": labels.method_name(method)}
        row |= {"hidden": first["hidden"], "CD": first["cd"]}
        row |= {"rate, decay": f"{first['rate']:g}, {first['decay']:g}"}
        row |= {"links": group["links"].mean(), "n": len(group), "epochs": first["epochs"]}
        row["test"] = _mean_sd(group["test"])
        row["se"] = group["se"].max()
        row["smallest ESS"] = group["ess"].min()
        row["short schedule"] = _mean_sd(group["test_short"])
        row["best on test"] = _mean_sd(group["best_on_test"])
        row["last epoch"] = _mean_sd(group["last_test"])
        row["impossible"] = group["impossible"].sum()
        rows.append(row)
    return pd.DataFrame(rows)


def _mean_sd(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return "not estimated"
    if len(values) < 2:
        return f"{values.mean():.2f}"
    return f"{values.mean():.2f} ± {values.std():.2f}"


def beside_table_2(outcomes: pd.DataFrame, records: Records) -> pd.DataFrame:
    """The paper's Table 2 with ours beside each row, – where nothing was run; the ceilings of the
    test rows, and published likelihoods of models whose likelihood is exact.

    Source: [Mocanu2018] Table 2; data/reference/exact_likelihood.csv, of which nothing was checked
    at its source.
    """
    theirs = pd.read_csv(REFERENCE / "set_table2_rbm.csv")
    theirs["method"] = theirs["model"].map(MODELS)
    theirs = theirs.explode("method")
    names = {theirs_: ours for ours, theirs_ in PAPER_NAMES.items()}
    theirs["ours"] = theirs["dataset"].map(names)
    own = selected(outcomes).groupby(["dataset", "method"])
    ceilings = {run.config.dataset: run.environment["ceilings"]["test"] for run in records}
    rivals = pd.read_csv(REFERENCE / "exact_likelihood.csv").set_index("dataset")
    rows = []
    for row in theirs.to_dict("records"):
        key = row["ours"], row["method"]
        group = own.get_group(key) if key in own.groups else None
        rows.append(_beside(row, group, ceilings, rivals))
    return pd.DataFrame(rows)


def _beside(row: dict, group: pd.DataFrame | None, ceilings: dict, rivals: pd.DataFrame) -> dict:
    found = {"dataset": row["dataset"], "paper's model": row["model"]}
    found |= {"paper": row["log_prob_nats"], "paper: links": row["n_weights"]}
    names = ["ours", "ours: nats", "se", "ours: best on test", "ours: links", "n", "remark"]
    found |= dict.fromkeys(names, "–")
    if group is not None:
        found["ours"] = labels.method_name(row["method"])
        found["ours: nats"] = _mean_sd(group["test"])
        found["se"] = f"{group['se'].max():.2f}"
        found["ours: best on test"] = _mean_sd(group["best_on_test"])
        found["ours: links"] = f"{group['links'].mean():,.0f}"
        found["n"] = len(group)
        found["remark"] = OWN_DATA.get(row["ours"], "")
    ceiling = ceilings.get(row["ours"])
    found["ceiling"] = "–" if ceiling is None else f"{ceiling:.2f}"
    if ceiling is not None and row["log_prob_nats"] > ceiling and row["ours"] not in OWN_DATA:
        found["remark"] = f"the paper's is impossible; {found['remark']}".rstrip("; –")
    found["exact, unchecked"] = "–"
    if row["dataset"] in rivals.index:
        rival = rivals.loc[row["dataset"]]
        found["exact, unchecked"] = f"{rival['log_prob_nats']:.2f} ({rival['model']})"
    return found


def link_counts() -> pd.DataFrame:
    """Links of Table 2 over the number of neurons: what was compared with what.

    Source: [Mocanu2018] Tables 1 and 2.
    """
    sizes = pd.read_csv(REFERENCE / "set_table1_datasets.csv")
    sizes = sizes[sizes["family"] == "RBM"].set_index("dataset")["n_features"]
    table = pd.read_csv(REFERENCE / "set_table2_rbm.csv")
    table = table[table["model"].isin(["RBM_FixProb", "SET-RBM"])]
    neurons = table["dataset"].map(sizes) + table["n_hidden"]
    table["links a neuron"] = table["n_weights"] / neurons
    return table.pivot_table("links a neuron", "dataset", "model", sort=False)


def ranked(outcomes: pd.DataFrame, variants: Sequence[str] = COMPARED) -> pd.DataFrame:
    """SET minus each rival on every data set, nats, by seed, with 95 % t-interval over seeds;
    *told apart*: by more than three standard errors, by both schedules.

    Args:
        outcomes: of :func:`outcomes`.
        variants: among which each is chosen, see :func:`selected`.
    """
    best = selected(outcomes, variants)
    rows = []
    for dataset in best["dataset"].unique():
        for rival in RIVALS:
            gain = gains(best, dataset, rival)
            if gain is None:
                continue
            mean = t_interval(gain["full"])
            bounds = (mean.low, mean.high) if mean.n > 1 else (np.nan, np.nan)
            names = labels.dataset(dataset), labels.method_name(rival)
            rows.append((*names, mean.value, *bounds, mean.n, are_apart(gain)))
    columns = ["dataset", "SET minus", "nats", "low", "high", "n", "told apart"]
    return pd.DataFrame(rows, columns=columns)


def gains(best: pd.DataFrame, dataset: str, rival: str) -> pd.DataFrame | None:
    """SET minus a rival on a data set, for every seed that both have: columns full, short, se and
    se_short, of the difference; None if there is none.

    Args:
        best: of :func:`selected`.
    """
    of_set = best.query("dataset == @dataset and method == 'set'").set_index("seed")
    of_rival = best.query("dataset == @dataset and method == @rival").set_index("seed")
    difference = pd.DataFrame(
        {
            "full": of_set["test"] - of_rival["test"],
            "short": of_set["test_short"] - of_rival["test_short"],
            "se": np.hypot(of_set["se"], of_rival["se"]),
            "se_short": np.hypot(of_set["se_short"], of_rival["se_short"]),
        }
    ).dropna(subset=["full"])
    return None if difference.empty else difference


def are_apart(gain: pd.DataFrame) -> bool:
    """Whether both schedules see the same difference: each by more than three standard errors, and
    closer to each other than the difference is large.

    Args:
        gain: of :func:`gains`; standard errors are those of its mean. Where the short schedule
            estimates a seed by too few effective chains, nothing is told apart.
    """
    if gain["short"].isna().any():
        return False
    full, short = gain["full"].mean(), gain["short"].mean()
    for mean, se in ((full, gain["se"]), (short, gain["se_short"])):
        of_mean = np.sqrt(se.pow(2).sum()) / len(gain)
        if abs(mean) <= ais.APART * of_mean:
            return False
    return bool(np.sign(full) == np.sign(short) and abs(full - short) < abs(full))
