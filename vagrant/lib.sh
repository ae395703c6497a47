# shellcheck shell=bash disable=SC2034
# What every step shares: words for a person, waiting, and downloads that are checked before anything uses them.
# A step that finds its work done says so and changes nothing.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # k3s and its kubectl lie in the first two
REPOSITORY=/srv/contender
KEPT=/var/lib/contender # what the steps remember; for root only
K3S_DATA=/var/lib/rancher/k3s
RELEASES_OF_K3S=https://github.com/k3s-io/k3s/releases/download

say() { printf '%s\n' "$@"; }

# fail PROBLEM REMEDY…: ends the step. Vagrant shows both and stops there; `vagrant up --provision` goes on from here.
fail() {
  local problem=$1
  shift
  printf '%s\n' "$problem" "$@" >&2
  exit 1
}

# needs NAME…: the variables that the Vagrantfile hands over.
needs() {
  local name
  for name; do
    [[ -n ${!name:-} ]] || fail "$name is not set." "The Vagrantfile sets it; by hand: $name=… $0"
  done
}

architecture() {
  local named
  named=$(dpkg --print-architecture)
  case $named in
    amd64 | arm64) printf '%s\n' "$named" ;;
    *) fail "k3s is pinned for amd64 and arm64, and this machine is $named." "Choose a box of either architecture." ;;
  esac
}

# wait_for SECONDS WHAT COMMAND…: asks every two seconds until the command succeeds.
wait_for() {
  local limit=$1 what=$2 began=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - began >= limit)); then return 1; fi
    sleep 2
  done
  say "$what: after $((SECONDS - began)) s."
}

# replace FILE MODE: puts what comes on standard input in the place of the file, and sets `changed` when it was another.
replace() {
  local file=$1 mode=$2 draft
  install -d "$(dirname "$file")"
  draft=$(mktemp "$file.XXXXXX")
  cat >"$draft"
  chmod "$mode" "$draft"
  if cmp -s "$draft" "$file"; then
    rm -f "$draft"
    chmod "$mode" "$file"
  else
    mv -f "$draft" "$file"
    changed=yes
  fi
}

locked_version() { awk '$1 == "version" { print $2 }' "$REPOSITORY/vagrant/k3s.lock"; }

# pinned FILE: its SHA-256, from the lock file.
pinned() {
  local sum
  sum=$(awk -v file="$1" '$1 != "version" && $2 == file { print $1 }' "$REPOSITORY/vagrant/k3s.lock")
  [[ $sum =~ ^[0-9a-f]{64}$ ]] ||
    fail "vagrant/k3s.lock has no checksum of $1, and nothing is installed without one." \
      "Where the release can be reached: vagrant/pin.sh $(locked_version), then: vagrant rsync && vagrant up --provision"
  printf '%s\n' "$sum"
}

has_sum() { [[ -f $1 ]] && [[ $(sha256sum <"$1") == "$2  -" ]]; }

# fetch URL SUM FILE: a file with that SHA-256, downloaded unless it is there. What arrives otherwise is thrown away.
fetch() {
  local url=$1 sum=$2 file=$3
  if has_sum "$file" "$sum"; then return; fi
  install -d "$(dirname "$file")"
  say "Downloading $url …"
  if ! curl --fail --silent --show-error --location --connect-timeout 20 --speed-limit 1024 --speed-time 60 \
    --retry 3 --retry-all-errors --retry-delay 2 --output "$file.part" "$url"; then
    rm -f "$file.part"
    fail "$url did not arrive in full; nothing was installed." "Look at this machine's way out, then: vagrant up --provision"
  fi
  if ! has_sum "$file.part" "$sum"; then
    rm -f "$file.part"
    fail "$url is not what was pinned: its SHA-256 is not $sum. It was thrown away." \
      "A mirror that serves something else, or a wrong line in vagrant/k3s.lock."
  fi
  mv -f "$file.part" "$file"
}

kubectl() { k3s kubectl "$@"; }

# addressed IP: the interface that has the address.
addressed() { ip -o -4 address show to "$1" | awk 'NR == 1 { print $2 }'; }

ready_nodes() { kubectl get nodes --no-headers 2>/dev/null | awk '$2 == "Ready"' | wc -l; }
all_ready() { (($(ready_nodes) >= $1)); }

# overlay_images: the images that the overlay's pods run, under the full names that containerd knows them by.
overlay_images() {
  kubectl kustomize "$REPOSITORY/k8s/overlays/vagrant" |
    awk '$1 == "image:" { print $2 } $1 == "-" && $2 == "image:" { print $3 }' | tr -d "\"'" | sort -u |
    awk -F/ 'NF == 1 { print "docker.io/library/" $0; next }
             $1 ~ /[.:]/ || $1 == "localhost" { print; next }
             { print "docker.io/" $0 }'
}

# contender_image: the one among them that is built here.
contender_image() {
  local named
  named=$(overlay_images | grep -E '/contender(:[^/]*)?$' || true)
  [[ -n $named && $named != *$'\n'* ]] ||
    fail "k8s/overlays/vagrant must run one image named contender; it names: ${named:-none}" "Look at its images."
  printf '%s\n' "$named"
}

# answers URL: whether it answers with what a client may use.
answers() { curl --fail --silent --max-time 5 --output /dev/null "$1"; }
