"""Analysis of links, which changes none: matrices and graphs, degrees, random layers to compare
with, structure, power laws.

A *network* is its neurons and links, layer by layer. In code it is the list ``matrices`` of its
layers, (n_out, n_in) each; a ``graph`` is one matrix, or one object of networkx, over all its
neurons. Degrees are a table of rows, see :mod:`lib.topology.degrees`, made of stored arrays by its
``from_names``. Functions of graphs, degrees and nulls are here by name; ``structure``,
``power_law`` and ``laws`` are modules.
"""

from .._boundary import extra

with extra("topology"):
    from .degrees import (
        ccdf,
        degree_sequences,
        degrees_at,
        hidden_groups,
        largest_degrees,
        recorded_epochs,
    )
    from .graphs import (
        adjacency,
        count_paths,
        directed_graph,
        largest_component,
        link_betweenness,
        link_degree,
        to_matrices,
        to_networkx,
    )
    from .nulls import random_degrees, shuffle_inputs, support_of_degrees, switch_links

__all__ = [
    "adjacency",
    "ccdf",
    "count_paths",
    "degree_sequences",
    "degrees_at",
    "directed_graph",
    "hidden_groups",
    "largest_component",
    "largest_degrees",
    "link_betweenness",
    "link_degree",
    "random_degrees",
    "recorded_epochs",
    "shuffle_inputs",
    "support_of_degrees",
    "switch_links",
    "to_matrices",
    "to_networkx",
]
