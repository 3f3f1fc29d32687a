"""Maps that move with the image, or stay whatever is learnt, are told as such."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from brainssl.explanation.activations import activations
from brainssl.explanation.cam import at_image_size, eigen_cam
from brainssl.explanation.robustness import cascade, randomised, rank_correlation, sensitivity
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

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


def test_chance_of_one_draw_does_not_decide(classifier: Classifier, images: Tensor) -> None:
    alone = [
        np.abs(rank_correlation(of_the_model(classifier, images), of_the_model(last, images)))
        for seed in range(3)
        for last in [list(randomised(classifier, seed))[-1][1]]
    ]
    assert not np.allclose(alone[0], alone[1])
    found = cascade(of_the_model, classifier, images, draws=3)
    np.testing.assert_allclose(found["conv1"], np.mean(alone, axis=0), rtol=1e-5)


def test_a_map_that_vanishes_or_turns_is_told_and_an_empty_one_is_not(
    classifier: Classifier, images: Tensor
) -> None:
    def vanishing(model: Classifier, given: Tensor) -> Tensor:
        return given if model is classifier else torch.zeros_like(given)

    def turning(model: Classifier, given: Tensor) -> Tensor:
        return given if model is classifier else 1 - given

    assert (cascade(vanishing, classifier, images, draws=1)["head"] == 0).all()
    np.testing.assert_allclose(cascade(turning, classifier, images, draws=1)["head"], 1)
    empty = cascade(lambda model, given: torch.zeros_like(given), classifier, images, draws=1)
    assert np.isnan(empty["head"]).all()


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "vit_small_patch16_dinov3"])
def test_nothing_that_was_trained_is_left_in_blocks_with_parameters_of_their_own(name: str) -> None:
    encoder = build_encoder(name, image_size=SIZE, seed=0)
    trained = Classifier(encoder, nn.Linear(encoder.dim, 3), ("a", "b", "c"), {}).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.fill_(0.125)
    *_, (_, copy) = randomised(trained)
    left = [n for n, p in copy.named_parameters() if (p == 0.125).all()]
    assert left == []


def test_rank_correlation_is_spearmans() -> None:
    one = torch.rand(3, 2, 8, 8)
    other = (torch.rand(3, 2, 8, 8) * 5).round()  # with ties
    found = rank_correlation(one, other)
    for place in np.ndindex(3, 2):
        expected = spearmanr(one[place].flatten(), other[place].flatten()).statistic
        assert found[place] == pytest.approx(expected)
    assert np.isnan(rank_correlation(one, torch.ones(3, 2, 8, 8))).all()
