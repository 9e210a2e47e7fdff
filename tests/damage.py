"""Damages of files, and the check that each is named or harmless."""

import shutil

from nlp_suite.errors import NlpSuiteError

REMEDIES = ("restore it", "make it again", "made again", "export the run again", "train again", "train one", "remove")


def _flip(path, other):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "zeroed": lambda path, other: path.write_bytes(bytes(path.stat().st_size)),
    "half": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path, other: path.write_bytes(b""),
    "flipped": _flip,
    "deleted": lambda path, other: path.unlink(),
    "of another": lambda path, other: shutil.copyfile(other, path),
}


def own_files(folder):
    """The files that are ours to check, relative to the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def used_silently(folder, other, names, use, tmp_path):
    """Damages that change an answer, or that end in an error which does not say what is wrong with which file.

    Args:
        folder: undamaged; copied for each damage.
        other: a folder of the same kind with other content.
        names: of the files to damage.
        use: from a folder to something that can be compared.
    """
    place, faults = tmp_path / folder.name, []
    expected = use(shutil.copytree(folder, place))
    for name in names:
        for kind, damage in DAMAGES.items():
            shutil.rmtree(place)
            shutil.copytree(folder, place)
            damage(place / name, other / name)
            try:
                if use(place) != expected:
                    faults.append(f"{name} {kind}: other numbers")
            except NlpSuiteError as error:
                if name.split("/")[-1] not in str(error) or not any(remedy in str(error) for remedy in REMEDIES):
                    faults.append(f"{name} {kind}: {error}")
            except Exception as error:
                faults.append(f"{name} {kind}: {type(error).__name__}: {error}")
    return faults
