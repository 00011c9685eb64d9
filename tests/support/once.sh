# shellcheck shell=sh
# Sourced by the scripts of tests that need tools of other languages: what is installed once, pinned, beside the build's other caches.
cache="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ordermill"
mkdir -p "$cache"

# once NAME COMMAND…: runs the command in a folder of that name, unless it was done; several may ask at once.
once() {
    place="$cache/$1"
    shift
    (
        flock 9
        if [ ! -e "$place/complete" ]; then
            rm -rf "$place"
            mkdir -p "$place"
            (cd "$place" && "$@")
            touch "$place/complete"
        fi
    ) 9>"$place.lock" >&2
}

sum() { cat "$@" | cksum | cut -d' ' -f1; }
