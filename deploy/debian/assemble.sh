#!/bin/sh
# Put the package together, inside a Debian without a network; scripts/build-deb.sh starts it.
#
# $VERSION, $ARCH and $PYTHON say of what. /build/in: wheel, source, manual pages, bill of materials, requirements.
# /build/wheels: what the requirements name. /build/out: the package.
set -eu

prefix=/opt/adaspring
source=/build/in/source/deploy
stage=/build/stage
umask 022

# In its final place, so that launchers carry the right path.
"$PYTHON" -m venv --without-pip "$prefix"
# The one source distribution is built with Debian's setuptools, which the environment itself does not have.
PYTHONPATH=/usr/lib/python3/dist-packages \
    "$PYTHON" -m pip --disable-pip-version-check --python "$prefix/bin/python" install --quiet --no-index --no-deps \
    --ignore-installed --no-build-isolation --find-links /build/wheels --require-hashes --requirement /build/in/requirements.txt
"$PYTHON" -m pip --disable-pip-version-check --python "$prefix/bin/python" install --quiet --no-index --no-deps \
    /build/in/*.whl
# Compiled here: nobody who runs it may write there.
"$prefix/bin/python" -m compileall -q -x 'site-packages/numpy/.*/tests' "$prefix/lib" || true

mkdir -p "$stage/opt" "$stage/usr/bin" "$stage/usr/share/doc/adaspring" "$stage/lib/systemd/system"
cp -a "$prefix" "$stage/opt/"
for name in adaspring adaspringctl adaspringd; do
    ln -s "$prefix/bin/$name" "$stage/usr/bin/$name"
done

install -m 644 "$source"/systemd/*.service "$source"/systemd/*.socket "$stage/lib/systemd/system/"
install -D -m 644 -t "$stage/usr/share/adaspring/drop-ins" "$source"/systemd/drop-ins/*.conf
install -D -m 755 -t "$stage/usr/share/adaspring/mender" "$source/mender/adaspring-bundle"
install -D -m 755 -t "$stage/usr/share/adaspring/thin-edge" "$source/thin-edge/adaspring" "$source/thin-edge/adaspring-health"
install -D -m 644 -t "$stage/usr/lib/sysusers.d" "$source/sysusers.d/adaspring.conf"
install -D -m 644 -t "$stage/usr/lib/systemd/catalog" "$source/journal/adaspring.catalog"
install -D -m 644 -t "$stage/etc/adaspring" "$source/adaspringd.toml"
mkdir -p "$stage/etc/adaspring/keys"
install -m 644 /build/in/source/LICENSE "$stage/usr/share/doc/adaspring/copyright"
install -m 644 -t "$stage/usr/share/doc/adaspring" /build/in/bill/adaspring.cdx.json /build/in/bill/licences.txt
gzip -9n </build/in/source/CHANGELOG.md >"$stage/usr/share/doc/adaspring/changelog.gz"
for page in /build/in/manual/man/*; do
    section=${page##*.}
    mkdir -p "$stage/usr/share/man/man$section"
    gzip -9n <"$page" >"$stage/usr/share/man/man$section/${page##*/}.gz"
done
for shell in bash zsh; do
    case $shell in
        bash) folder=usr/share/bash-completion/completions ;;
        zsh) folder=usr/share/zsh/vendor-completions ;;
    esac
    mkdir -p "$stage/$folder"
    cp /build/in/manual/completion/$shell/* "$stage/$folder/"
done

mkdir -p "$stage/DEBIAN"
for script in postinst prerm postrm; do
    install -m 755 "$source/debian/$script" "$stage/DEBIAN/$script"
done
echo /etc/adaspring/adaspringd.toml >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: adaspring
Version: $VERSION
Architecture: $ARCH
Maintainer: AdaSpring maintainers <adaspring@localhost>
Installed-Size: $(du -sk "$stage" | cut -f1)
Depends: python3 (>= ${PYTHON#python}), python3 (<< 3.$((${PYTHON#python3.} + 1))), systemd, libsystemd0
Section: science
Priority: optional
Description: inference daemon whose network evolves with the device it runs on
 Serves a small neural network on a local socket. Watches battery, heat, memory and load, and swaps in another
 compressed form of the network between two frames when the context asks for it. Nothing is retrained.
CONTROL
find "$stage" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
# Packing at the lowest level: the last percent of size costs a board minutes of unpacking and us minutes of packing.
dpkg-deb --root-owner-group -Zxz -z1 --build "$stage" "/build/out/adaspring_${VERSION}_$ARCH.deb"
