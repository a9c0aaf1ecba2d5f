import { BlockList, isIP } from "node:net";

const family = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4");

/** Working out whether an address is in a list takes longer than all else that is asked of a request; peers are few, and ask often. */
const MOST_KNOWN = 1_000;

/** The addresses whose X-OL-* request headers are believed. */
export class TrustedPeers {
  readonly #list: BlockList | undefined;
  readonly #known = new Map<string, boolean>();

  /** Addresses (`10.0.0.7`) or networks (`10.0.0.0/8`). Fails with what `refuse` makes, naming the wrong one. */
  constructor(proxies: readonly string[], refuse: (message: string) => Error) {
    if (proxies.length === 0) return;
    this.#list = new BlockList();
    for (const proxy of proxies) {
      const [address = "", bits] = proxy.split("/");
      const isNumber = bits === undefined || /^[0-9]{1,3}$/u.test(bits);
      const most = isIP(address) === 6 ? 128 : 32;
      if (isIP(address) === 0 || !isNumber || Number(bits ?? 0) > most)
        throw refuse(
          `trusted_proxies: ${JSON.stringify(proxy)} is neither an address nor a network such as 10.0.0.0/8`,
        );
      if (bits === undefined) this.#list.addAddress(address, family(address));
      else this.#list.addSubnet(address, Number(bits), family(address));
    }
  }

  /** Whether anybody is trusted: then it is worth to ask for a peer's address. */
  get some(): boolean {
    return this.#list !== undefined;
  }

  has(address: string | undefined): boolean {
    if (this.#list === undefined || address === undefined) return false;
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    // An IPv4 peer of a socket that listens on IPv6.
    const plain = address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
    const found = this.#list.check(plain, family(plain));
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.set(address, found);
    return found;
  }
}
