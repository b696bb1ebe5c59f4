#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Records tests/data/demo.pcap: two network namespaces joined by a veth pair, ordinary programs talking across it,
# tcpdump at the server's end with nanosecond stamps. Segmentation offloads are off, so frames are what a wire carries.
#
# Needs root and: nginx-light curl dnsmasq-base bind9-dnsutils openssl sip-tester iperf3 iputils-ping iproute2 ethtool
# tcpdump python3. Touches nothing outside the two namespaces and a temporary folder; removes both when it ends.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/demo.pcap}
most_bytes=$((3 * 1024 * 1024))
client=vigia-client-$$
server=vigia-server-$$
work=$(mktemp -d)
pids=()

for program in nginx curl dnsmasq dig openssl sipp iperf3 ping ip ethtool tcpdump python3; do
  command -v "$program" >/dev/null || { echo "record-demo: $program is not installed; see the list in $0" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "record-demo: network namespaces need root; run it with sudo" >&2; exit 1; }

clean_up() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$client" 2>/dev/null || true
  ip netns del "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

at_client() { ip netns exec "$client" "$@"; }
at_server() { ip netns exec "$server" "$@"; }
# Starts a program in the server's namespace and remembers its process: "ip netns exec" becomes the program.
serve() {
  ip netns exec "$server" "$@" >"$work/$(basename "$1").log" 2>&1 &
  pids+=($!)
}
wait_port() { # wait_port tcp|udp PORT: until a server listens there
  for _ in $(seq 100); do
    at_server ss -Hln "--$1" "sport = :$2" | grep -q . && return
    sleep 0.1
  done
  echo "record-demo: nothing listens on $1 port $2 after 10 s" >&2
  exit 1
}

# --- The cable ------------------------------------------------------------------------------------------------------
ip netns add "$client"
ip netns add "$server"
ip -n "$client" link add eth0 address 02:00:5e:00:00:0c type veth peer name eth0 address 02:00:5e:00:00:05 netns "$server"
for ns in "$client" "$server"; do
  ip netns exec "$ns" ethtool -K eth0 tso off gso off gro off tx off rx off sg off txvlan off rxvlan off >/dev/null
  ip -n "$ns" link set lo up
  ip netns exec "$ns" sysctl -qw net.ipv6.conf.eth0.accept_dad=0
  ip -n "$ns" link set eth0 up
done
ip -n "$client" addr add 192.0.2.12/24 dev eth0
ip -n "$server" addr add 192.0.2.5/24 dev eth0
ip -n "$client" addr add 2001:db8::12/64 dev eth0 nodad
ip -n "$server" addr add 2001:db8::5/64 dev eth0 nodad

# VLAN 10: the kernel's own sub-interface, or where the kernel has none a TAP whose frames a small relay tags.
for ns in "$client" "$server"; do
  if ! ip -n "$ns" link add link eth0 name vlan10 type vlan id 10 2>/dev/null; then
    ip netns exec "$ns" python3 "$here/vlan_tap.py" eth0 vlan10 10 &
    pids+=($!)
    for _ in $(seq 50); do ip -n "$ns" link show vlan10 >/dev/null 2>&1 && break; sleep 0.1; done
  fi
  ip netns exec "$ns" ethtool -K vlan10 tso off gso off gro off tx off sg off >/dev/null 2>&1 || true
  ip -n "$ns" link set vlan10 mtu 1496 up
done
ip -n "$client" addr add 198.51.100.12/24 dev vlan10
ip -n "$server" addr add 198.51.100.5/24 dev vlan10

# --- The servers ----------------------------------------------------------------------------------------------------
mkdir -p "$work/www"
python3 - "$work/www" <<'PYTHON'
import pathlib, sys
line = "%06d the quick brown fox watches the wire from the tower and writes down every frame it sees\n"
for name, size in (("small", 700), ("page", 9000), ("image", 60000), ("large", 260000)):
    text = "".join(line % i for i in range(size // 80 + 1))
    (pathlib.Path(sys.argv[1]) / f"{name}.txt").write_text(text[:size])
PYTHON
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=lab.example -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
cat >"$work/nginx.conf" <<CONF
daemon off; user root; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.err;
events {}
http {
  access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi; root $work/www;
  server { listen 80; listen [::]:80; }
  server { listen 443 ssl; listen [::]:443 ssl; ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem; }
}
CONF
serve nginx -p "$work" -e "$work/nginx.err" -c "$work/nginx.conf"
serve dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
  --local=/lab.example/ --host-record=www.lab.example,192.0.2.5,2001:db8::5 --host-record=sip.lab.example,192.0.2.5 \
  --txt-record=lab.example,"v=demo record-demo.sh" --mx-host=lab.example,mail.lab.example,10
serve sipp -sn uas -i 192.0.2.5 -p 5060 -mi 192.0.2.5 -mp 6000 -rtp_echo -nostdin
serve iperf3 -s
wait_port tcp 80
wait_port tcp 443
wait_port udp 53
wait_port udp 5060
wait_port tcp 5201

# --- The recording --------------------------------------------------------------------------------------------------
# The buffer holds the whole recording, so the kernel has no reason to drop any of it.
ip netns exec "$server" tcpdump -i eth0 -n -s 0 -B 65536 --time-stamp-precision=nano -Z root \
  -w "$work/demo.pcap" 2>"$work/tcpdump.err" &
tcpdump=$!
pids+=("$tcpdump")
for _ in $(seq 100); do grep -q listening "$work/tcpdump.err" && break; sleep 0.1; done

fetch() { at_client curl -sS -k -o /dev/null "$@"; }

# A call runs in the background of everything else, so that kinds of traffic mix as they do on a link.
python3 "$here/make_tone.py" "$work/tone.al"
cp "$here/sip-caller.xml" "$work/"
(cd "$work" && at_client sipp -sf sip-caller.xml -i 192.0.2.12 -p 5061 -mi 192.0.2.12 -m 1 -nostdin 192.0.2.5:5060 \
  >"$work/caller.log" 2>&1) &
call=$!

for name in www sip mail nowhere; do
  at_client dig +noall +tries=1 @192.0.2.5 "$name.lab.example" A
  at_client dig +noall +tries=1 @2001:db8::5 "$name.lab.example" AAAA
done
at_client dig +noall +tries=1 @192.0.2.5 lab.example MX
at_client dig +noall +tries=1 @192.0.2.5 lab.example TXT
at_client dig +noall +tries=1 +tcp @192.0.2.5 www.lab.example A
for i in $(seq 40); do at_client dig +noall +tries=1 @192.0.2.5 "host$i.lab.example" A; done

for page in small page image small page; do fetch "http://192.0.2.5/$page.txt"; done
fetch http://192.0.2.5/large.txt & fetch http://192.0.2.5/image.txt & fetch "http://[2001:db8::5]/image.txt" & wait $!
fetch -X POST --data-binary "@$work/www/page.txt" http://192.0.2.5/form || true
fetch "http://192.0.2.5/missing.txt"
for page in small page image; do fetch "http://[2001:db8::5]/$page.txt"; done
for page in small page image; do fetch "https://192.0.2.5/$page.txt"; done
fetch --tls-max 1.2 "https://[2001:db8::5]/page.txt"
for page in small page image; do fetch "http://198.51.100.5/$page.txt"; done
at_client ping -q -c 3 -i 0.2 -s 4000 192.0.2.5 >/dev/null
at_client ping -q -c 3 -i 0.2 -s 4000 2001:db8::5 >/dev/null
at_client ping -q -c 3 -i 0.2 -s 1 198.51.100.5 >/dev/null
at_client iperf3 -c 192.0.2.5 -n 256K >/dev/null
at_client iperf3 -c 2001:db8::5 -u -b 2M -l 1000 -n 100K >/dev/null
wait "$call"
sleep 0.5

kill "$tcpdump"
wait "$tcpdump" || true
grep -q "^0 packets dropped by kernel" "$work/tcpdump.err" || { cat "$work/tcpdump.err" >&2; exit 1; }
size=$(stat -c %s "$work/demo.pcap")
[ "$size" -le "$most_bytes" ] || { echo "record-demo: the recording has $size bytes, more than $most_bytes" >&2; exit 1; }
cp "$work/demo.pcap" "$out"
echo "record-demo: $out, $size bytes"
