# shellcheck shell=bash
# To be sourced: sees to it that Debian packages are there. What is missing is installed when this is
# Debian (or its like) and we are root; otherwise it says exactly what to do, and exits 1.

# A module counts when a file of its name is in @INC: loading all of them would take seconds.
has_module() {
    perl -e '(my $file = "$ARGV[0].pm") =~ s{::}{/}g; exit !grep { -e "$_/$file" } @INC' "$1"
}

is_there() {
    case $1 in
        command) command -v "$2" >/dev/null ;;
        module) has_module "$2" ;;
        file) [[ -e $2 ]] ;;
    esac
}

packages=() things=()
look() {
    packages=() things=()
    local package kind name
    while read -r package kind name; do
        [[ -n $package ]] || continue
        is_there "$kind" "$name" && continue
        packages+=("$package")
        things+=("$kind $name")
    done <<<"$1"
}

# need WHO LIST: the list has a line for each Debian package, with what we know it by: a command, a
# Perl module or a file.
need() {
    local who=$1 list=$2
    if ! command -v perl >/dev/null; then
        echo "$who need perl: install it first." >&2
        exit 1
    fi
    look "$list"
    ((${#packages[@]})) || return 0

    if ! command -v apt-get >/dev/null; then
        echo "$who need these, which are missing here:" >&2
        printf '  %s\n' "${things[@]}" >&2
        echo "Debian has them as: ${packages[*]}" >&2
        exit 1
    fi

    if ((EUID != 0)); then
        echo "$who need Debian packages that are missing here. Install them with:" >&2
        echo >&2
        echo "  sudo apt-get update && sudo apt-get install --no-install-recommends -y ${packages[*]}" >&2
        exit 1
    fi

    echo "installing ${packages[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=120)
    if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends -y "${packages[@]}"; } \
        </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        echo "apt-get failed, see above" >&2
        exit 1
    fi

    look "$list"
    if ((${#packages[@]})); then
        echo "apt-get succeeded, but these are still missing: ${things[*]}" >&2
        exit 1
    fi
}
