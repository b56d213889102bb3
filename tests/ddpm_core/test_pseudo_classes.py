"""Pseudo-classes: nobody can ask for one, and a sample that is told none gets one by its seed and the data's shares."""

import numpy as np

from ddpm_core.pseudo_classes import classes_to_ask_for, drawn, has_pseudo_classes, with_pseudo_classes
from ddpm_core.spec import DataSpec, labelled

PLAIN = labelled(shape=(3, 8, 8), range=(-1.0, 1.0), levels=256, classes=())
GROUPED = with_pseudo_classes(PLAIN, [6, 3, 1])
NOT_TOLD = 3


def test_they_are_a_label_to_the_network_and_no_class_to_a_person() -> None:
    assert GROUPED.classes == ("cluster 1", "cluster 2", "cluster 3")
    assert GROUPED.null == {"label": NOT_TOLD}
    assert has_pseudo_classes(GROUPED)
    assert classes_to_ask_for(GROUPED) == ()


def test_labels_of_the_data_s_own_are_none() -> None:
    own = labelled(shape=(3, 8, 8), range=(-1.0, 1.0), levels=256, classes=("cat", "dog"))
    assert not has_pseudo_classes(own)
    assert classes_to_ask_for(own) == ("cat", "dog")
    assert not has_pseudo_classes(PLAIN)


def test_a_network_that_was_trained_without_them_has_none() -> None:
    assert not has_pseudo_classes(GROUPED.told(()))


def test_they_survive_being_written_and_read() -> None:
    assert DataSpec.from_dict(GROUPED.to_dict()) == GROUPED


def test_what_was_told_stays_and_the_rest_is_a_function_of_its_seed() -> None:
    seeds = [5, 2**64 - 1, 7, 5]
    labels = drawn(GROUPED, np.array([NOT_TOLD, NOT_TOLD, 1, 2]), seeds)
    assert labels[2:].tolist() == [1, 2]
    assert drawn(GROUPED, np.array([NOT_TOLD]), [2**64 - 1]).tolist() == [labels[1]]
    assert drawn(GROUPED, np.array([NOT_TOLD] * 2), [7, 5]).tolist()[1] == labels[0]


def test_they_come_as_often_as_the_data_have_them() -> None:
    n = 4000
    counts = np.bincount(drawn(GROUPED, np.full(n, NOT_TOLD), range(n)), minlength=3)
    expected = np.array([0.6, 0.3, 0.1])
    assert np.abs(counts / n - expected).max() < 4 * np.sqrt(0.25 / n)
