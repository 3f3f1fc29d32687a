"""What a run says of its images and splits: a sentence for each question that it can answer."""

from collections.abc import Callable, Mapping

from brainssl.data.field_of_view import FIELD, told_field
from brainssl.reporting.findings.protocols import leak_of
from brainssl.reporting.study import Study
from brainssl.reporting.titles import method_title
from brainssl.reporting.wording import PROTOCOLS, count, counted, join, labels_title, percent
from brainssl.settings import LABELLED_METHODS, SEMI_SUPERVISED

PARTS = {"train": "training", "val": "validation", "test": "test"}
_DIGEST = 12  # characters of a digest that are shown


def _objective(study: Study) -> str:
    methods = [str(method) for method in study.facts.get("methods") or ()]
    semi = [method_title(m) for m in methods if m in SEMI_SUPERVISED]
    taught = [method_title(m) for m in methods if m in LABELLED_METHODS]
    untaught = [method_title(m) for m in methods if m not in (*LABELLED_METHODS, *SEMI_SUPERVISED)]
    kinds = (("without", untaught), ("with", taught))
    ways = [f"after pretraining {how} labels by {join(own)}" for how, own in kinds if own]
    ways += [f"by semi-supervised training ({join(semi)})"] if semi else []
    fractions = study.facts.get("label_fractions") or ()
    if not methods or not study.classes or not fractions:
        return ""
    return (
        f"Classifiers of single slices into {counted(len(study.classes), 'class', 'classes')} are "
        f"developed and tested: {', '.join(ways)}, and by "
        f"supervised training alone, with {labels_title(*fractions, of='the training labels')}."
    )


def _images(study: Study) -> str:
    audit = study.audit
    if not {"images", "labelled"} <= set(audit):
        return ""
    groups = audit.get("groups") or {}
    told = counted(audit["images"], "image")
    told += f" in {counted(groups['count'], 'group')} of alike ones" if "count" in groups else ""
    return f"{told}; {count(audit['labelled'])} of the images bear a label." + (
        f" {counted(study.patients, 'patient')}." if study.patients else ""
    )


def _left_out(study: Study) -> str:
    audit = study.audit
    if "unreadable" not in audit:
        return ""
    sentences = [f"Files that cannot be read are left out: {count(len(audit['unreadable']))}."]
    if "unlabelled" in audit:
        sentences.append(
            f"Images without a label are used for {use_of_unlabelled(study)} only: "
            f"{count(audit['unlabelled'])} in the source{_beside(audit.get('extra') or {})}."
        )
    return " ".join(sentences)


def _beside(extra: Mapping[str, int]) -> str:
    """Say how many images extra folders hold beside a source."""
    told = join([f"{count(number)} in {name}/" for name, number in extra.items()])
    return f", and beside it {told}" if told else ""


def use_of_unlabelled(study: Study) -> str:
    """Return what learns from images without label: "pretraining", "pretraining and FixMatch"."""
    methods = study.facts.get("methods") or ()
    return join(["pretraining", *(method_title(one) for one in SEMI_SUPERVISED if one in methods)])


def _copies(study: Study) -> str:
    audit = study.audit
    if not {"pixel_identical", "near_duplicates", "conflicts"} <= set(audit):
        return ""
    alike, conflicts = audit["near_duplicates"], audit["conflicts"]
    return (
        f"Images with an identical copy: {count(audit['pixel_identical']['images'])}; with a "
        f"near-duplicate (likeness of {alike['similarity']:g} or more): {count(alike['images'])}. "
        f"Pictures that stand under more than one label: {count(conflicts['identical'])}."
    )


def _preparation(study: Study) -> str:
    size = ((study.facts.get("settings") or {}).get("encoder") or {}).get("image_size")
    if not size:
        return ""
    return (
        f"Every slice is read as grey values and set into a square of {size} × {size} pixels "
        "without being distorted, by the same code in training and in use."
        + "".join(f" {told}" for told in (field_of_view(study), depth(study)) if told)
        + " “Settings” lists the augmentation of training."
    )


def depth(study: Study) -> str:
    """Say how many bits the store keeps of a pixel, where it is not 8."""
    bits = study.facts.get("bits")
    return f"A pixel is kept with {bits} bits, {2**bits:,} levels of grey." if bits else ""


def field_of_view(study: Study) -> str:
    """Say what square of each slice of a volume is seen, where it is not all of it."""
    mm = study.facts.get(FIELD)
    return f"Of volumes, each slice was first {told_field(mm)}." if mm else ""


def _partitions(study: Study) -> str:
    return " ".join(told for protocol in study.protocols if (told := partition(study, protocol)))


def partition(study: Study, protocol: str) -> str:
    """Say how many images and groups each part of a split has, and which split it is."""
    split = study.split(protocol)
    images, groups = split.get("images") or {}, split.get("groups") or {}
    parts = [
        f"{name} {counted(images[part], 'image')}"
        + (f" of {counted(groups[part], 'group')}" if part in groups else "")
        for part, name in PARTS.items()
        if part in images
    ]
    if not parts:
        return ""
    told = f"Protocol “{protocol}”: {', '.join(parts)}"
    told += f"; split seed {split['seed']}" if split.get("seed") is not None else ""
    told += f", digest {str(split['digest'])[:_DIGEST]}…" if split.get("digest") else ""
    return f"{told}."


def _level(study: Study) -> str:
    protocols = [p for p in study.protocols if p in PROTOCOLS and study.split(p).get("groups")]
    if not protocols:
        return ""
    known = (
        f"{counted(study.patients, 'patient')} known."
        if study.patients
        else "Patients are not known: slices of one patient may stand in training and test."
    )
    return " ".join([*(f"“{p}”: {PROTOCOLS[p]}" for p in protocols), known])


_SHOWS = {
    None: "does not show that they were learnt",
    "found": "shows that they were learnt",
    "none": "does not show that they were learnt",
    "open": "cannot tell whether they were learnt, of so few groups",
}


def _leakage(study: Study) -> str:
    told = [
        f"{percent(c['accuracy'])} % under “{c['protocol']}” where guessing gives "
        f"{percent(c['guessing'])} %, which {_SHOWS[leak_of(c)]}"
        for c in study.analysis.get("random_labels") or ()
    ]
    control = f"Labels drawn at random for each group, as a control: accuracy {'; '.join(told)}."
    return " ".join(filter(None, [remainder(study), control if told else ""]))


def remainder(study: Study) -> str:
    """Say how many test images of each split have a copy or near-duplicate in training."""
    splits = {protocol: study.split(protocol) for protocol in study.protocols}
    found = [
        f"{count(split['near_duplicates']) if split['near_duplicates'] else 'none found'} of "
        f"{count((split.get('images') or {}).get('test', 0))} under “{protocol}”"
        for protocol, split in splits.items()
        if split.get("near_duplicates") is not None
    ]
    if not found:
        return ""
    return f"Test images with a copy or near-duplicate in training: {join(found)}."


def _balance(study: Study) -> str:
    protocol = next(iter(study.protocols), "")
    counts = (study.split(protocol).get("counts") or {}).get("train") or {}
    if not counts:
        return ""
    least, most = min(counts, key=lambda c: counts[c]), max(counts, key=lambda c: counts[c])
    told = (
        f"Training images under “{protocol}”: from {count(counts[least])} ({least}) to "
        f"{count(counts[most])} ({most}) of a class."
    )
    finetune = (study.facts.get("settings") or {}).get("finetune") or {}
    if "sampling" in finetune and "loss" in finetune:
        told += f" Fine-tuning: sampling {finetune['sampling']}, loss {finetune['loss']}."
        if finetune.get("class_weights"):
            told = f"{told[:-1]}, {finetune['class_weights']} weights of classes."
    return told


DATA_EVIDENCE: dict[str, Callable[[Study], str]] = {
    "objective": _objective,
    "images": _images,
    "left_out": _left_out,
    "copies": _copies,
    "preparation": _preparation,
    "partitions": _partitions,
    "level": _level,
    "leakage": _leakage,
    "balance": _balance,
}
"""By the name that `checklist.toml` uses: a sentence, or nothing where the run lacks the fact."""
