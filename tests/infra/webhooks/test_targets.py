"""Where a webhook may go."""

from ipaddress import ip_address

import pytest

from infra.webhooks.targets import TargetRefused, Targets, ThreadedResolver, is_public, parsed

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "203.0.114.1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
]
OURS = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "192.88.99.1",
    "168.63.129.16",
    "198.18.0.1",
    "198.51.100.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe",
    "100::1",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_network_may_be_called(address: str) -> None:
    assert is_public(ip_address(address))
    Targets().judge(address, is_https=True)


@pytest.mark.parametrize("address", OURS)
def test_any_other_address_may_not_in_whatever_form_it_is_written(address: str) -> None:
    with pytest.raises(TargetRefused):
        Targets().judge(address, is_https=True)


def test_plain_http_may_go_to_the_networks_of_a_development_machine_alone() -> None:
    targets = Targets(["127.0.0.0/8"])
    targets.judge("127.0.0.1", is_https=False)
    targets.judge("127.0.0.1", is_https=True)
    for address in ("8.8.8.8", "10.0.0.1"):
        with pytest.raises(TargetRefused):
            targets.judge(address, is_https=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "receiver.example/hook",
        "ftp://receiver.example/",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "https://user@receiver.example/",
        "https://user:password@receiver.example/",
        "https://receiver.example/#part",
        "https://receiver.example:0/",
        "https://receiver.example:99999/",
        "https://receiver.example/a b",
        "https://receiver.example\\@127.0.0.1/",
        "https://réceiver.example/",
        "https://receiver.example/\n",
        "https://[::1/",
    ],
)
def test_what_is_no_plain_url_of_a_host_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        parsed(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "http://8.8.8.8/",
        "https://no-such-host.invalid/",
    ],
)
async def test_an_operator_is_told_at_once_that_an_address_is_refused(url: str) -> None:
    resolver = ThreadedResolver()
    with pytest.raises(TargetRefused):
        await Targets().check(url, resolver)
    await resolver.close()


async def test_a_public_address_passes() -> None:
    resolver = ThreadedResolver()
    await Targets().check("https://8.8.8.8:8443/hook?a=b", resolver)
    await resolver.close()
