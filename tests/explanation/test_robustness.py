"""Maps that move with the image, or stay whatever is learnt, are told as such."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from brainssl.classifier import Classifier
from brainssl.encoders import build_encoder
from brainssl.explanation.activations import activations
from brainssl.explanation.cam import at_image_size, eigen_cam
from brainssl.explanation.robustness import cascade, randomised, rank_correlation, sensitivity

SIZE = 96


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(7)  # not that of the weights drawn anew
    encoder = build_encoder("test_resnet", image_size=SIZE, seed=0)
    return Classifier(encoder, nn.Linear(encoder.dim, 3), ("a", "b", "c"), {}).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def of_the_model(classifier: Classifier, images: Tensor) -> Tensor:
    of = activations(classifier, images, torch.zeros(len(images), dtype=torch.int64))
    return at_image_size(eigen_cam(of), SIZE).maps


def of_the_image(classifier: Classifier, images: Tensor) -> Tensor:
    return images


def constant(classifier: Classifier, images: Tensor) -> Tensor:
    return torch.ones_like(images)


def test_a_map_that_never_moves_has_no_sensitivity(classifier: Classifier, images: Tensor) -> None:
    np.testing.assert_array_equal(sensitivity(constant, classifier, images), 0)


def test_sensitivity_is_the_largest_relative_difference(
    classifier: Classifier, images: Tensor
) -> None:
    """A map that is the image moves by the noise, whose norm is known."""
    middle = 0.25 + images / 2  # far from 0 and 1, where noise would be cut off
    found = sensitivity(of_the_image, classifier, middle, radius=0.02, changes=1)
    expected = 0.02 / np.sqrt(3) * SIZE / middle.flatten(2).norm(dim=2).numpy()
    np.testing.assert_allclose(found, expected, rtol=0.05)
    more = sensitivity(of_the_image, classifier, middle, radius=0.02, changes=4)
    assert (more >= found).all()


def test_noise_of_an_image_does_not_depend_on_the_others(
    classifier: Classifier, images: Tensor
) -> None:
    together = sensitivity(of_the_model, classifier, images)
    alone = sensitivity(of_the_model, classifier, images[:1])
    np.testing.assert_allclose(together[:1], alone, rtol=1e-3)


def test_an_empty_map_has_no_sensitivity_to_tell(classifier: Classifier, images: Tensor) -> None:
    empty = sensitivity(lambda model, given: torch.zeros_like(given), classifier, images)
    assert np.isnan(empty).all()


def test_weights_are_drawn_anew_from_the_head_down_and_the_model_is_left(
    classifier: Classifier,
) -> None:
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    names, changed = [], []
    for name, copy in randomised(classifier):
        assert not copy.training
        names.append(name)
        after = copy.state_dict()
        weights = {n for n, t in before.items() if t.dim() > 1 and not torch.equal(after[n], t)}
        changed.append({n.removeprefix("encoder.network.").split(".")[0] for n in weights})
    assert names == ["head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    assert changed[0] == {"head"}
    assert changed[1] == {"head", "layer4"}
    assert changed[-1] == {"head", "layer4", "layer3", "layer2", "layer1", "conv1"}
    after = classifier.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_drawing_anew_leaves_the_random_state_of_others(classifier: Classifier) -> None:
    state = torch.random.get_rng_state()
    list(randomised(classifier))
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_map_of_the_model_changes_and_a_map_of_the_image_does_not(
    classifier: Classifier, images: Tensor
) -> None:
    moved = cascade(of_the_model, classifier, images)
    stayed = cascade(of_the_image, classifier, images)
    assert list(moved) == list(stayed)
    assert np.mean(np.abs(moved["conv1"])) < 0.9
    for likeness in stayed.values():
        np.testing.assert_allclose(likeness, 1)


def test_rank_correlation_is_spearmans() -> None:
    one = torch.rand(3, 2, 8, 8)
    other = (torch.rand(3, 2, 8, 8) * 5).round()  # with ties
    found = rank_correlation(one, other)
    for place in np.ndindex(3, 2):
        expected = spearmanr(one[place].flatten(), other[place].flatten()).statistic
        assert found[place] == pytest.approx(expected)
    assert np.isnan(rank_correlation(one, torch.ones(3, 2, 8, 8))).all()
