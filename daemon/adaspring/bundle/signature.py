"""Ed25519 signatures of bundles: over the manifest, which holds the hash of every other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaspring.errors import BundleSignatureError, ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: The signature beside the manifest: 64 bytes.
SIGNATURE = "manifest.sig"


def make_keys(private: Path, public: Path) -> None:
    """Write a new pair of keys as PEM files; the private one is readable by its owner alone.

    Raises:
        ConfigError: If one of the files exists, or the library for signatures is missing.
    """
    ed25519, serialization = _library()
    for path in (private, public):
        if path.exists():
            raise ConfigError(f"{path} exists; a key is never overwritten: name another file")
    key = ed25519.Ed25519PrivateKey.generate()
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def sign_bundle(bundle: Path, private: Path) -> Path:
    """Sign the manifest of a bundle.

    Args:
        bundle: Folder of the bundle.
        private: Private key, PEM.

    Returns:
        The signature's file, beside the manifest.

    Raises:
        ConfigError: If the key cannot be used.
        BundleSignatureError: If there is no manifest to sign.
    """
    ed25519, serialization = _library()
    try:
        key = serialization.load_pem_private_key(private.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"private key {private} cannot be read: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"private key {private} is no Ed25519 key")
    signing: Ed25519PrivateKey = key
    try:
        manifest = (bundle / "manifest.json").read_bytes()
    except OSError as error:
        raise BundleSignatureError(f"bundle {bundle}: manifest.json cannot be read: {error.strerror}") from error
    signature = bundle / SIGNATURE
    signature.write_bytes(signing.sign(manifest))
    return signature


def check_signature(bundle: Path, keys: Sequence[Path]) -> Path:
    """See that one of the keys signed a bundle.

    Args:
        bundle: Folder of the bundle.
        keys: Public keys, PEM.

    Returns:
        The key that did.

    Raises:
        BundleSignatureError: If the bundle is not signed, or by none of these keys.
        ConfigError: If a key cannot be used.
    """
    if not keys:
        raise BundleSignatureError(
            f"bundle {bundle}: there is no key to check its signature with; name public keys in bundles.keys,"
            " or allow unsigned bundles (bundles.allow_unsigned)"
        )
    try:
        signature = (bundle / SIGNATURE).read_bytes()
        manifest = (bundle / "manifest.json").read_bytes()
    except FileNotFoundError as error:
        raise BundleSignatureError(
            f"bundle {bundle} is not signed: {Path(str(error.filename)).name} is missing; sign it with"
            " 'adaspringctl bundle sign', or allow unsigned bundles (bundles.allow_unsigned)"
        ) from error
    except OSError as error:
        raise BundleSignatureError(f"bundle {bundle}: its signature cannot be read: {error.strerror}") from error
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only who checks a signature needs it

    for path in keys:
        try:
            _public_key(path).verify(signature, manifest)
        except InvalidSignature:
            continue
        return path
    raise BundleSignatureError(
        f"bundle {bundle}: none of the {len(keys)} keys in bundles.keys signed it; it was changed, or comes from"
        " somebody else"
    )


def _public_key(path: Path) -> Ed25519PublicKey:
    ed25519, serialization = _library()
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"public key {path} (bundles.keys) cannot be read: {error}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(f"public key {path} (bundles.keys) is no Ed25519 key")
    public: Ed25519PublicKey = key
    return public


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError("signatures need the cryptography package: pip install 'adaspring[update]'") from error
    return ed25519, serialization
