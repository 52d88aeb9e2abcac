"""Pictures in folders and archives: what is read, in which order, and what is refused."""

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from rdahw.data import _image_files, _image_sources, load, read_examples
from rdahw.errors import UsageError, UserError

RED, GREEN, GREY = (200, 10, 30), (20, 180, 40), (90, 90, 90)


def picture(colour, size=(4, 3), mode="RGB", form="PNG", **more):
    """The bytes of a picture of one colour, with a black first pixel; size is (width, height)."""
    image = Image.new("RGB", size, colour)
    image.putpixel((0, 0), (0, 0, 0))
    content = io.BytesIO()
    image.convert(mode).save(content, form, **more)
    return content.getvalue()


FILES = {
    "train/red/1.png": picture(RED),
    "train/red/2.png": picture((210, 0, 0)),
    "train/red/3.png": picture((220, 0, 0)),
    "train/green/b.png": picture(GREEN),
    "train/green/a.jpg": picture(GREEN, form="JPEG", quality=95),
    "test/green/1.png": picture(GREEN),
    "test/red/1.png": picture(RED),
    "train/red/.hidden.png": b"no picture",
    "__MACOSX/train/red/1.png": b"no picture",
    "train/red/notes.txt": b"no picture",
}


def make_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def make_zip(path, files):
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in reversed(files.items()):
            archive.writestr(name, content)
    return path


def make_tar(path, files, packing="xz"):
    path = path.with_name(f"{path.name}.tar{'.' + packing if packing else ''}")
    with tarfile.open(path, f"w:{packing}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


CONTAINERS = {
    "folder": make_folder,
    "zip": make_zip,
    "tar": lambda path, files: make_tar(path, files, ""),
    "tar.gz": lambda path, files: make_tar(path, files, "gz"),
    "tar.xz": make_tar,
    "below a folder": lambda path, files: make_zip(path, {f"pets/{name}": content for name, content in files.items()}),
}
containers = pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)


@containers
def test_every_container(tmp_path, make):
    steps = []
    data = load(str(make(tmp_path / "pets", FILES)), progress=lambda done, whole: steps.append((done, whole)))
    assert (data.name, data.label_names, data.image_shape) == ("pets", ("green", "red"), (3, 3, 4))
    assert data.train.labels.tolist() == [0, 1, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.features.dtype == np.uint8
    # a.jpg and b.png of green, in turn with 1, 2 and 3 of red; red, green and blue one after the other
    pixels = data.train.features.reshape(5, 3, 12)
    assert pixels[1].tolist() == [[0] + 11 * [value] for value in RED]
    assert pixels[2, :, 1].tolist() == list(GREEN)
    assert pixels[[3, 4], 0, 1].tolist() == [210, 220]
    assert steps == sorted(steps)
    assert steps[-1][0] <= steps[-1][1]
    assert data.checksum == load(str(make_folder(tmp_path / "again", FILES))).checksum


def test_a_folder_has_the_name_that_it_has_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(make_folder(tmp_path / "pets", FILES))
    assert load("./").name == "pets"


def test_classes_alone_and_a_split(tmp_path):
    files = {f"{name}/{i}.png": picture(colour) for name, colour in (("red", RED), ("green", GREEN)) for i in range(4)}
    path = str(make_folder(tmp_path / "pets", files))
    assert load(path).test is None
    assert len(load(path, split=0.25).test) == 2
    assert load(path, classes=["red", "green"]).label_names == ("red", "green")
    assert [c.tolist() for c in (load(path).hold_out(4)[1].labels,)] == [[0, 1, 0, 1]]


def test_a_class_may_have_the_name_of_a_part(tmp_path):
    files = {f"{name}/1.png": picture(RED) for name in ("train", "car", "test")}
    data = load(str(make_folder(tmp_path / "x", files)))
    assert (data.label_names, data.test) == (("car", "test", "train"), None)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_pictures(tmp_path, mode):
    content = picture(GREY, mode="L" if mode == "I;16" else mode)
    if mode == "I;16":
        packed = io.BytesIO()
        Image.fromarray(np.full((3, 4), 90 * 256 + 7, np.uint16)).save(packed, "PNG")
        content = packed.getvalue()
    data = load(str(make_folder(tmp_path / "x", {"a/1.png": content, "b/1.png": content})))
    assert data.image_shape == (3, 4)
    assert data.train.features[0, 1] in ((0, 255) if mode == "1" else (90,))


def test_grey_and_colour_pictures_are_colour(tmp_path):
    data = load(str(make_folder(tmp_path / "x", {"a/1.png": picture(GREY, mode="L"), "b/1.png": picture(RED)})))
    assert data.image_shape == (3, 3, 4)
    assert data.train.features.reshape(2, 3, 12)[:, :, 1].tolist() == [list(GREY), list(RED)]


def test_photographs_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the left
    content = picture(RED, (4, 3), form="PNG", exif=exif)
    data = load(str(make_folder(tmp_path / "x", {"a/1.png": content, "b/1.png": content})))
    assert data.image_shape == (3, 4, 3)
    assert np.flatnonzero(data.train.features[0, :12] == 0).tolist() == [2]  # the black pixel is at the upper right


def test_sizes(tmp_path):
    files = {"a/1.png": picture(RED), "b/1.png": picture(GREEN, (5, 3))}
    path = str(make_folder(tmp_path / "x", files))
    with pytest.raises(
        UserError, match="has pictures of 2 sizes, such as a/1.png of 3 x 4 and b/1.png of 3 x 5 pixels"
    ):
        load(path)
    data = load(path, resize=(2, 6))
    assert data.image_shape == (3, 2, 6)
    assert abs(int(data.train.features[1].reshape(3, 2, 6)[1, 1, 5]) - GREEN[1]) < 3


@containers
def test_further_pictures(tmp_path, make):
    schema = load(str(make_folder(tmp_path / "train", FILES))).schema
    features, labels = read_examples(make(tmp_path / "more", FILES), schema)
    assert labels.tolist() == [0, 1]
    assert features.shape == (2, 36)
    alone = {"2.png": picture(RED), "1.png": picture(GREEN)}
    features, labels = read_examples(make(tmp_path / "alone", alone), schema)
    assert labels is None
    assert features.reshape(2, 3, 12)[:, :, 1].tolist() == [list(GREEN), list(RED)]
    large = {"1.png": picture(RED, (9, 9), "L")}
    with pytest.raises(UserError, match=r"1.png in .* is 9 x 9 pixels, expected 3 x 4 .* --resize 3x4 takes pictures"):
        read_examples(make(tmp_path / "large", large), schema)
    assert read_examples(make(tmp_path / "large", large), schema, resize=True)[0].shape == (1, 36)


def test_pictures_for_other_models(tmp_path):
    path = make_folder(tmp_path / "x", FILES)
    with pytest.raises(UserError, match="holds pictures, and the model was not trained on images"):
        read_examples(path, load("iris").schema)
    schema = load(str(make_folder(tmp_path / "y", {k: v for k, v in FILES.items() if "green" in k or "1" in k}))).schema
    with pytest.raises(UserError, match="there is no class 'blue' in training; known are 'green', 'red'"):
        read_examples(make_folder(tmp_path / "z", {"blue/1.png": picture(RED), "red/1.png": picture(RED)}), schema)
    with pytest.raises(UsageError, match="a label column was given, and .* holds pictures"):
        read_examples(path, schema, label="1")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a/1.txt": b""}, "holds no picture; expected files such as train/CLASS/1.png, with .png, .jpg"),
        ({"a/1.png": picture(RED)}, "has pictures of 1 classes; expected a folder for each of two or more"),
        ({"a/1.png": picture(RED), "2.png": picture(RED)}, "2.png in .* lies in no folder of a class"),
        (FILES | {"extra/red/1.png": picture(RED)}, "extra/red/1.png in .* lies in none of the folders train and test"),
        (FILES | {"train/1.png": picture(RED)}, "train/1.png in .* lies in no folder of a class"),
        (FILES | {"test/blue/1.png": picture(RED)}, "there is no class 'blue' in training"),
        (FILES | {"train/red/9.png": b"GIF89a"}, "train/red/9.png in .* is not a picture that can be read"),
        (FILES | {"train/red/9.png": FILES["train/red/1.png"][:-40]}, "9.png in .* is not a picture that can be read"),
        (FILES | {"train/red/9.jpg": FILES["train/green/a.jpg"][:-200]}, "9.jpg in .* is not a picture that can be"),
    ],
)
@pytest.mark.parametrize("make", [make_folder, make_zip, make_tar])
def test_wrong_pictures(tmp_path, make, files, sentence):
    path = make(tmp_path / "x", files)
    if make is make_zip and not any(name.endswith((".png", ".jpg")) for name in files):
        return  # not taken for pictures
    with pytest.raises(UserError, match=sentence) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def test_a_member_outside_of_its_archive(tmp_path):
    os.chdir(tmp_path)
    for make in (make_zip, make_tar):
        path = make(tmp_path / "x", FILES | {"../../red/1.png": picture(RED)})
        with pytest.raises(UserError, match=r"has the member '../../red/1.png', which lies outside of it"):
            load(str(path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar.xz", "x.zip"]  # nothing is unpacked


def test_links_and_other_members_are_no_pictures(tmp_path):
    path = make_tar(tmp_path / "x", FILES, "")
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("train/red/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(load(str(path)).train) == 5


def test_damaged_archives(tmp_path):
    for make, part in ((make_zip, 0.9), (make_tar, 0.5), (make_tar, 0.1)):
        path = make(tmp_path / "x", FILES)
        content = path.read_bytes()
        path.write_bytes(content[: int(part * len(content))])
        if make is make_zip:
            assert not _image_sources.holds_images(path)
            continue
        with pytest.raises(UserError, match="is not a ZIP or TAR archive that can be read .*; make it again"):
            load(str(path))
    with zipfile.ZipFile(path := tmp_path / "damaged.zip", "w") as archive:
        archive.writestr("a/1.png", picture(RED))
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a ZIP or TAR archive that can be read .Bad CRC"):
        load(str(path))


def test_limits(tmp_path, monkeypatch):
    path = str(make_zip(tmp_path / "x", FILES))
    for module, name, value, sentence in (
        (_image_sources, "MOST_BYTES", 40, "is larger than 40 bytes|is larger than"),
        (_image_files, "_MOST_PIXELS", 11, "is 3 x 4 pixels; expected at most 11 in all"),
        (_image_files, "_MOST_FILES", 4, "holds more than 4 pictures or"),
        (_image_files, "_MOST_IN_ALL", 100, "holds more than .* make them smaller with --resize"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            if name == "MOST_BYTES":
                patch.setattr(_image_files, name, value)
            with pytest.raises(UserError, match=sentence):
                load(path)


def test_options_that_do_not_fit(tmp_path):
    path = str(make_folder(tmp_path / "x", FILES))
    with pytest.raises(
        UsageError, match="a label column was given, and .* holds pictures, whose classes are its folders"
    ):
        load(path, label="1")
    with pytest.raises(
        UsageError, match="the test file y was given, and .* holds pictures; put those of the test part"
    ):
        load(path, test="y")
    with pytest.raises(UsageError, match="a size of 3x3 was given, and 'iris' is not a folder or archive of pictures"):
        load("iris", resize=(3, 3))
    with pytest.raises(UsageError, match="there is no file or folder .*nothing.tar"):
        load(str(tmp_path / "nothing.tar"))


@pytest.mark.parametrize("make", [make_zip, make_tar, CONTAINERS["tar"], make_folder])
def test_damage_anywhere_is_one_sentence(tmp_path, make):
    rng = np.random.default_rng(5)
    for i in range(40):
        files = {name: content for name, content in FILES.items() if content != b"no picture"}
        if make is make_folder:
            name = list(files)[int(rng.integers(len(files)))]
            files[name] = damaged(files[name], rng)
        path = make(tmp_path / f"x{i}", files)
        if make is not make_folder:
            path.write_bytes(damaged(path.read_bytes(), rng))
        try:
            data = load(str(path))
        except UserError as error:
            sentence = str(error)
        else:
            sentence = ""
            assert data.label_names == ("green", "red") or len(data.label_names) > 1
            assert data.test is None or data.test.features.shape[1:] == data.train.features.shape[1:]
        assert "\n" not in sentence


def damaged(content, rng):
    """Content with some bytes changed, left out or repeated."""
    at, size = int(rng.integers(len(content))), int(rng.integers(1, 30))
    part = content[at : at + size]
    other = [bytes(rng.integers(0, 256, len(part), np.uint8)), b"", part + part][int(rng.integers(3))]
    return content[:at] + other + content[at + size :]
