"""The tools that make the site: generated tables of the pages, links and cards, the explorer."""
