#!/usr/bin/env bash
# Builds the guest kernel: kernel/build.sh [ARCH [OUT]]   (riscv64, target/boot/kernel-ARCH)
#
# The result is cached under the digest of everything that goes into it; see kernel/README.md.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "$0")" && pwd)
arch=${1:-riscv64}
out=${2:-$here/../target/boot/kernel-$arch}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lithify/kernel
mirror=${LITHIFY_DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() { printf 'kernel: %s\n' "$*" >&2; exit 1; }

case $arch in
    riscv64) linux_arch=riscv cross=riscv64-linux-gnu- image=arch/riscv/boot/Image ;;
    *) fail "no guest kernel for architecture \`$arch' (have: riscv64)" ;;
esac
config=$here/$arch/config
replace=$here/$arch/replace
patches=$here/patches
source "$here/$arch/source"

for tool in "${cross}gcc" make flex bison bc apt-get dpkg-deb patch xz flock; do
    command -v "$tool" >/dev/null || fail "\`$tool' is missing: run ci/setup.sh"
done
[ -r "$keyring" ] || fail "$keyring is missing (package debian-archive-keyring): run ci/setup.sh"

digest() { sha256sum | cut -d' ' -f1; }

# Everything the bytes depend on. The flags below are part of the recipe, this file.
key=$({
    echo "$SOURCE_PACKAGE $SOURCE_VERSION $SOURCE_SHA256"
    grep -E '^(CONFIG_|# CONFIG_.* is not set$)' "$config"
    sha256sum <"$here/build.sh"
    (cd "$replace" && find . -type f | sort | xargs sha256sum)
    cat "$patches"/*.patch
    "${cross}gcc" --version | head -n 1
    "${cross}ld" --version | head -n 1
} | digest)

# apt with a state of its own: it downloads and checks the signature, nothing reaches the host.
fetch_source() { # DIR
    local dir=$1 deb
    mkdir -p "$dir"/{lists/partial,cache/archives/partial}
    : >"$dir/status"
    echo "deb [signed-by=$keyring] $mirror trixie main" >"$dir/sources.list"
    # Valid-Until protects from an old index; here the digest decides, and a frozen mirror may serve.
    cat >"$dir/apt.conf" <<END
Dir::State "$dir";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Acquire::AllowInsecureRepositories "false";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
APT::Sandbox::User "$(id -un)";
END
    (
        cd "$dir"
        export APT_CONFIG=$dir/apt.conf
        apt-get -qq -o APT::Update::Error-Mode=any update || fail "cannot read the package index of $mirror (trixie)"
        apt-get -qq download "$SOURCE_PACKAGE=$SOURCE_VERSION" || {
            echo "kernel: $mirror has these versions of $SOURCE_PACKAGE:" >&2
            apt-cache madison "$SOURCE_PACKAGE" >&2
            fail "$SOURCE_VERSION, pinned in kernel/$arch/source, left the mirror:" \
                "set SOURCE_VERSION and SOURCE_SHA256 there to a version above (\`apt-cache show' prints the digest)," \
                "or name a mirror that still has it in LITHIFY_DEBIAN_MIRROR (snapshot.debian.org keeps all)"
        }
    )
    deb=$(echo "$dir/$SOURCE_PACKAGE"_*.deb)
    echo "$SOURCE_SHA256  $deb" | sha256sum --check --status ||
        fail "$(basename "$deb") has SHA-256 $(digest <"$deb"), expected $SOURCE_SHA256 (kernel/$arch/source)"
    dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$SOURCE_PACKAGE.tar.xz" | tar -xJ -C "$dir"
    rm "$deb"
}

# kconfig drops silently what it does not know or what a dependency forbids.
check_config() { # .CONFIG
    local line name lost=0
    while IFS= read -r line; do
        case $line in
            CONFIG_*=n) name=${line%=n} ;;
            CONFIG_*) grep -qxF -- "$line" "$1" || { echo "kernel: not in the result: $line" >&2; lost=1; }; continue ;;
            '# CONFIG_'*' is not set') name=${line#'# '} name=${name%' is not set'} ;;
            *) continue ;;
        esac
        ! grep -q "^$name=" "$1" || { echo "kernel: on in the result: $name" >&2; lost=1; }
    done <"$config"
    [ $lost = 0 ] || fail "kernel/$arch/config asks for what this source cannot give"
}

# Built inside its own tree: every path the compiler sees is relative, so the folder leaves no trace.
compile() { # TREE
    (
        cd "$1"
        # Nothing of the caller's environment may steer the build.
        kmake() {
            env -i PATH="$PATH" LC_ALL=C TZ=UTC \
                KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC' KBUILD_BUILD_VERSION=1 \
                KBUILD_BUILD_USER=lithify KBUILD_BUILD_HOST=lithify \
                make -s ARCH="$linux_arch" CROSS_COMPILE="$cross" LOCALVERSION= "$@"
        }
        kmake KCONFIG_ALLCONFIG="$config" allnoconfig
        check_config .config
        kmake -j"${LITHIFY_JOBS:-$(nproc)}" Image
    )
}

build() {
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "${work:?}"' EXIT
    echo "kernel: building $SOURCE_PACKAGE $SOURCE_VERSION for $arch (about 8 CPU minutes, once)" >&2
    fetch_source "$work"
    local tree=$work/$SOURCE_PACKAGE
    cp -r "$replace/." "$tree"
    local patch
    for patch in "$patches"/*.patch; do
        # Without fuzz: one that no longer fits exactly is to be looked at.
        patch --directory="$tree" --strip=1 --fuzz=0 --silent <"$patch" || fail "$patch does not fit this source"
    done
    compile "$tree"
    mkdir "$work/result"
    cp "$tree/$image" "$work/result/Image"
    cp "$tree/.config" "$work/result/config"
    cp "$tree/System.map" "$work/result/System.map"
    mv "$work/result" "$cache/$key"
}

mkdir -p "$cache" "$(dirname "$out")"
# Two builds at once would only share the processors.
exec 9>"$cache/lock"
flock 9
[ -e "$cache/$key/Image" ] || build
cmp -s "$cache/$key/Image" "$out" || {
    cp "$cache/$key/Image" "$out.$$" && mv "$out.$$" "$out"
}
