"""The study of images: how they are read and scaled, its numbers against direct computation, and what it refuses."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.cli import main
from ntk_array.study import Dataset, StudySettings, load_dataset, run_study
from ntk_array.study.report import write

SMALL = {"widths": (2, 4), "train": 9, "test": 5, "networks": 1, "steps": 5, "draws": 2, "ensemble": 2}


@pytest.fixture
def images(tmp_path, rng):
    """Two kinds of 5 x 4 images with two channels of very different scale, in a file."""
    x = rng.normal(size=(14, 5, 4, 2)) * np.asarray([1.0, 50.0]) + np.asarray([0.0, 7.0])
    y = np.arange(14) % 2
    x[y == 1, :2] += 3.0
    path = tmp_path / "images.npz"
    np.savez(path, x=x, y=y)
    return str(path), x, y


def test_images_are_read_with_their_axes_or_as_rows(images, tmp_path):
    path, x, y = images
    data = load_dataset(path, images=True)
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.target, y)
    np.testing.assert_array_equal(load_dataset(path, "y").x, x.reshape(14, -1))
    np.savez(tmp_path / "grey.npz", x=x[..., 0], labels=y)
    grey = load_dataset(str(tmp_path / "grey.npz"), "labels", images=True)
    np.testing.assert_array_equal(grey.x, x[..., :1])


def test_the_bundled_digits_are_images_on_request():
    data, table = load_dataset("digits", images=True), load_dataset("digits")
    assert data.x.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(data.x.reshape(1797, 64), table.x)


def test_images_are_scaled_channel_by_channel(images):
    split = load_dataset(images[0], images=True).split(9, 5, np.random.SeedSequence(0))
    np.testing.assert_allclose(split.x_train.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(split.x_train.std(axis=(0, 1, 2)), 1, rtol=1e-12)
    # One number for a channel: differences between positions stay what they were.
    order = np.random.default_rng(np.random.SeedSequence(0)).permutation(14)
    raw = images[1][order]
    shown = split.x_test[0, 0, 0] - split.x_test[0, 4, 3]
    np.testing.assert_allclose(shown * raw[:9].std(axis=(0, 1, 2)), raw[9, 0, 0] - raw[9, 4, 3], rtol=1e-10)


@pytest.mark.usefixtures("without_pictures")
def test_infinite_regression_is_kernel_regression(images, tmp_path):
    """Against a plain linear solve on the same split; the report says what was studied."""
    data = load_dataset(images[0], images=True)
    study = run_study(StudySettings(network="cnn", **SMALL), data)
    split = data.split(9, 5, np.random.SeedSequence(0).spawn(3)[0])
    kernel = ntk.InfiniteNTK(ntk.nn.cnn((1, 1), 2, pooling="flatten", bias_std=0.1, readout_weight_std=0.5))
    f = kernel(split.x_test, split.x_train) @ np.linalg.solve(kernel(split.x_train), split.y_train)
    assert study.arrays["regression_infinite"] == np.mean(np.argmax(f, axis=1) != split.target_test)
    values = np.linalg.eigvalsh(kernel(split.x_train))[::-1] / 9
    np.testing.assert_allclose(study.arrays["eigenvalues"], values, rtol=1e-8)
    assert study.data["shape"] == [5, 4, 2]
    page = write(study, tmp_path / "out").read_text()
    assert "images of 5 x 4 x 2, 2 classes. Networks: 2 convolutions with pooling &#x27;flatten&#x27;" in page


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("cnn", ntk.nn.cnn((3, 3), 2, bias_std=0.1, readout_weight_std=0.5)),
        ("resnet", ntk.nn.resnet((3,), 2, blocks=2, bias_std=0.1, readout_weight_std=0.5)),
        ("myrtle", ntk.nn.myrtle(5, 2, width=3, bias_std=0.1, readout_weight_std=0.5)),
    ],
)
def test_networks_are_those_of_the_builders(network, expected):
    settings = StudySettings(network=network, pooling="global")
    assert settings.build(3, 2) == expected
    assert settings.widths == (8, 24, 64)


@pytest.mark.usefixtures("without_pictures")
def test_the_command_line_takes_images(images, tmp_path, capsys):
    """Nine images: for more the kernel of a Myrtle network is compiled, which takes 50 s of processor time."""
    words = f"study {images[0]} --network myrtle --widths 2,4 --train 5 --test 4 --steps 2 --networks 1 --draws 2"
    assert main([*words.split(), "--ensemble", "2", "--quiet", "--out", str(tmp_path / "out")]) == 0
    assert "infinite kernel regression" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("study wine --network cnn", "wine is a table; digits are images"),
        ("study digits --network myrtle --depth 6", "depth must be one of 5, 7, 10"),
        ("study {path} --target z --network cnn", "no array 'z'; its arrays are x, y"),
    ],
)
def test_bad_input_on_the_command_line(words, message, images, capsys):
    assert main([*words.format(path=images[0]).split(), "--quiet"]) == 2
    assert message in capsys.readouterr().err


def test_data_that_do_not_fit_the_network(rng, tmp_path):
    settings = StudySettings(network="cnn", **SMALL)
    with pytest.raises(ValueError, match=r"takes images, and data is a table \(14, 3\)"):
        run_study(settings, Dataset("data", rng.normal(size=(14, 3)), rng.normal(size=14)))
    pictures = Dataset("data", rng.normal(size=(14, 3, 3, 1)), rng.normal(size=14))
    with pytest.raises(ValueError, match=r"'mlp' takes rows of features, and data has images \(14, 3, 3, 1\)"):
        run_study(StudySettings(**SMALL), pictures)
    with pytest.raises(ValueError, match=r"AvgPool.*window"):
        run_study(StudySettings(network="myrtle", **SMALL), pictures)
    for shape, message in (((14, 3, 5, 5), "channels came first"), ((14, 9), r"images are \(N, H, W, channels\)")):
        np.savez(tmp_path / "t.npz", x=rng.normal(size=shape), y=np.arange(14))
        with pytest.raises(ValueError, match=message):
            load_dataset(str(tmp_path / "t.npz"), images=True)
    with pytest.raises(ValueError, match="network must be one of"):
        StudySettings(network="transformer")
    with pytest.raises(ValueError, match="pooling must be one of"):
        StudySettings(network="cnn", pooling="max")
