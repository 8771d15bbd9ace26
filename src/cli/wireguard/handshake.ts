/**
 * A first message of WireGuard's handshake, and whether what comes back answers it: enough to see that who has the private key listens at a
 * socket. Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (WireGuard paper, 5.4). No session comes of it, and no data is sent.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import type { PublicKey } from '../../wireguard/index.ts';
import { parsePublicKey } from '../../wireguard/index.ts';
import { blake2sMac } from './blake2s.ts';

/** A key pair that is thrown away. */
export interface ThrowAway {
  readonly publicKey: PublicKey;
  readonly pair: Pair;
}

interface Pair {
  readonly secret: KeyObject;
  readonly publicKey: KeyObject;
  /** The public half, 32 bytes. */
  readonly raw: Buffer;
}

export interface Initiation {
  readonly message: Buffer;
  /** `answer`: a datagram from there. */
  isAnsweredBy(answer: Buffer): boolean;
}

const CONSTRUCTION = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';
const IDENTIFIER = 'WireGuard v1 zx2c4 Jason@zx2c4.com';
const INITIATION = 1;
const RESPONSE = 2;
const COOKIE = 3;
const RESPONSE_BYTES = 92;

export function throwAwayKey(): ThrowAway {
  const pair = makePair();
  const publicKey = parsePublicKey(pair.raw.toString('base64'));
  if (publicKey === undefined) throw new TypeError('a key of 32 bytes is one of 44 characters');
  return { publicKey, pair };
}

/** From `own`, which the far end must know as a peer, to who has the private key of `to`. */
export function initiate({ pair }: ThrowAway, to: PublicKey, now = Date.now()): Initiation {
  const remote = Buffer.from(to, 'base64');
  const remoteKey = publicKeyOf(remote);
  const ephemeral = makePair();
  const index = randomBytes(4);
  let chaining = hash(CONSTRUCTION);
  let transcript = hash(hash(chaining, IDENTIFIER), remote);
  const mix = (data: Buffer): void => {
    transcript = hash(transcript, data);
  };
  mix(ephemeral.raw);
  [chaining = chaining] = derive(chaining, ephemeral.raw, 1);
  const seal = (key: Buffer, plain: Buffer): Buffer => {
    const sealed = encrypt(key, plain, transcript);
    mix(sealed);
    return sealed;
  };
  const keyFor = (secret: Buffer): Buffer => {
    const [next = chaining, key = chaining] = derive(chaining, secret, 2);
    chaining = next;
    return key;
  };
  const sealedStatic = seal(keyFor(agree(ephemeral, remoteKey)), pair.raw);
  const sealedTime = seal(keyFor(agree(pair, remoteKey)), timestamp(now));
  const head = Buffer.from([INITIATION, 0, 0, 0]);
  const body = Buffer.concat([head, index, ephemeral.raw, sealedStatic, sealedTime]);
  const mac = blake2sMac(hash('mac1----', remote), body, 16);
  return {
    message: Buffer.concat([body, mac, Buffer.alloc(16)]),
    isAnsweredBy(answer) {
      // Under load it asks to be asked again with a cookie: somebody is there.
      if (answer[0] === COOKIE) return answer.length === 64 && answer.subarray(4, 8).equals(index);
      if (answer[0] !== RESPONSE || answer.length !== RESPONSE_BYTES || !answer.subarray(8, 12).equals(index))
        return false;
      try {
        const theirs = answer.subarray(12, 44);
        let [key = chaining] = derive(chaining, theirs, 1);
        let seen = hash(transcript, theirs);
        const theirKey = publicKeyOf(theirs);
        for (const own of [ephemeral, pair]) [key = key] = derive(key, agree(own, theirKey), 1);
        const [, mixed = key, sealing = key] = derive(key, Buffer.alloc(32), 3);
        seen = hash(seen, mixed);
        return opens(sealing, answer.subarray(44, 60), seen);
      } catch {
        // What it says is its key is none (RFC 7748, 6.1).
        return false;
      }
    },
  };
}

const hash = (...parts: readonly (Buffer | string)[]): Buffer => {
  const digest = createHash('blake2s256');
  for (const part of parts) digest.update(part);
  return digest.digest();
};

const hmac = (key: Buffer, ...parts: readonly Uint8Array[]): Buffer => {
  const digest = createHmac('blake2s256', key);
  for (const part of parts) digest.update(part);
  return digest.digest();
};

/** HKDF with `count` outputs (paper, 5.4, KDFn). */
function derive(key: Buffer, input: Buffer, count: number): Buffer[] {
  const secret = hmac(key, input);
  const outputs: Buffer[] = [];
  for (let number = 1; number <= count; number++)
    outputs.push(hmac(secret, outputs.at(-1) ?? Buffer.alloc(0), Buffer.from([number])));
  return outputs;
}

const NO_NONCE = Buffer.alloc(12);
const SEALING = { authTagLength: 16 } as const;

function encrypt(key: Buffer, plain: Buffer, aad: Buffer): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, NO_NONCE, SEALING);
  cipher.setAAD(aad, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Whether it is the seal of nothing. */
function opens(key: Buffer, tag: Buffer, aad: Buffer): boolean {
  const decipher = createDecipheriv('chacha20-poly1305', key, NO_NONCE, SEALING);
  decipher.setAAD(aad, { plaintextLength: 0 });
  decipher.setAuthTag(tag);
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

/** TAI64N (paper, 5.4.2): each must be later than the last one, a clock that is off is no matter. */
function timestamp(now: number): Buffer {
  const time = Buffer.alloc(12);
  time.writeBigUInt64BE(0x4000_0000_0000_000an + BigInt(Math.floor(now / 1_000)));
  time.writeUInt32BE((now % 1_000) * 1_000_000, 8);
  return time;
}

const agree = ({ secret }: Pair, publicKey: KeyObject): Buffer => diffieHellman({ privateKey: secret, publicKey });

const base64url = (raw: Buffer): string => raw.toString('base64url');
const publicKeyOf = (raw: Buffer): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64url(raw) }, format: 'jwk' });

function makePair(): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    secret: privateKey,
    publicKey,
    raw: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
  };
}
