"""Write what the Debian package consists of, and under which licences.

``adaspring.cdx.json`` (CycloneDX 1.6) and ``licences.txt`` below ``--output``, from the locked requirements, their
licences and the bundles that ship. The same sources give the same bytes; their time is SOURCE_DATE_EPOCH, where
that is set.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import adaspring

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DEBIAN = ROOT / "deploy" / "debian"


class Requirement(NamedTuple):
    """A locked requirement: its name, version, and the hashes of the files it may be."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(text: str) -> list[Requirement]:
    """The requirements of a lock file."""
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    found = []
    for entry in entries:
        name, version = entry.split(maxsplit=1)[0].split("==")
        found.append(Requirement(name, version, tuple(sorted(re.findall(r"--hash=sha256:(\w+)", entry)))))
    return found


def bill(version: str, made_s: str | None) -> dict[str, Any]:
    """The bill of materials, as CycloneDX has it.

    Args:
        version: Of AdaSpring.
        made_s: When the sources were, in seconds since 1970; None leaves that out.
    """
    licences = tomllib.loads((DEBIAN / "licences.toml").read_text(encoding="utf-8"))
    requirements = locked((DEBIAN / "requirements.txt").read_text(encoding="utf-8"))
    libraries = [
        _library(each, licences["packages"][each.name], licences["inside"].get(each.name, ())) for each in requirements
    ]
    models = [_model(path) for path in sorted(ROOT.glob("models/*/bundle/manifest.json"))]
    own = f"pkg:pypi/adaspring@{version}"
    made = {} if made_s is None else {"timestamp": datetime.fromtimestamp(int(made_s), timezone.utc).isoformat()}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            **made,
            "authors": [{"name": "AdaSpring maintainers"}],
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "adaspring",
                "version": version,
                "purl": own,
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": [*libraries, *models],
        "dependencies": [{"ref": own, "dependsOn": [each["bom-ref"] for each in (*libraries, *models)]}],
    }


def _library(requirement: Requirement, licence: str, inside: list[dict[str, str]]) -> dict[str, Any]:
    reference = f"pkg:pypi/{requirement.name}@{requirement.version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": requirement.name,
        "version": requirement.version,
        "purl": reference,
        "licenses": [{"expression": licence}],
        # Which of them it is, the architecture decides.
        "externalReferences": [
            {
                "type": "distribution",
                "url": reference,
                "hashes": [{"alg": "SHA-256", "content": content} for content in requirement.hashes],
            }
        ],
    }
    if inside:
        component["components"] = [
            {
                "type": "library",
                "bom-ref": f"{reference}#{each['name']}",
                "name": each["name"],
                "licenses": [{"expression": each["licence"]}],
            }
            for each in inside
        ]
    return component


def _model(path: Path) -> dict[str, Any]:
    manifest = json.loads(path.read_bytes())
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{manifest['name']}@{manifest['version']}",
        "name": manifest["name"],
        "version": manifest["version"],
        "description": manifest["title"],
        "licenses": [{"license": {"name": manifest["licence"]}}],
        "hashes": [{"alg": "SHA-256", "content": manifest["files"]["weights.safetensors"]}],
    }


def listing(sbom: dict[str, Any]) -> str:
    """The licences of a bill, a line for each component."""
    lines = ["What AdaSpring's Debian package consists of besides AdaSpring itself (Apache-2.0).", ""]
    for component in sbom["components"]:
        lines.append(f"{component['name']} {component['version']}: {_licence(component)}")
        lines += [f"    with {each['name']}: {_licence(each)}" for each in component.get("components", ())]
    return "\n".join(lines) + "\n"


def _licence(component: dict[str, Any]) -> str:
    (licence,) = component["licenses"]
    text: str = licence["expression"] if "expression" in licence else licence["license"]["name"]
    return text


def main() -> None:
    """Write to ``--output``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    output: Path = parser.parse_args().output
    sbom = bill(adaspring.__version__, os.environ.get("SOURCE_DATE_EPOCH"))
    output.mkdir(parents=True, exist_ok=True)
    (output / "adaspring.cdx.json").write_text(json.dumps(sbom, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "licences.txt").write_text(listing(sbom), encoding="utf-8")


if __name__ == "__main__":
    main()
