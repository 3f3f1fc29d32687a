"""Baselines of before deep learning: hand-made features and simple classifiers, no network."""

FAMILIES = ("decision_tree", "lda", "svm", "knn")
"""Names of the classifiers, as rows of results have them under `method`."""
