"""What AdaSpring is held against: hand-crafted compression of the same backbone, on-demand selection, training alone.

Every rival is a search space cut out of the recipe's own, most of them with one choice
in each slot, trained by the same loop on the same rows for as many epochs. It ends as
a bundle, so that the same engine folds, encodes and times it.
"""
