"""Who does the steps of a study, and in which order: a graph, and ways to work it off."""
