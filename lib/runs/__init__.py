"""Runs of experiments: what identifies one, what it leaves, where that lies, and who executes it.

Nothing here knows an experiment by name: each is handed as a
:class:`lib.runs.experiment.Experiment`.
"""
