// A Delivery that a test scripts: what a path of a URL stands for.
import type { Digest } from '../../node/content/digest.ts';
import { digestOf } from '../../node/content/digest.ts';
import type { Content, ContentRequest, Delivery } from '../../node/delivery/delivery.ts';
import { HerdError } from '../../node/errors.ts';

export type FakeObject = Partial<Content> & { readonly bytes?: Buffer };

export class FakeDelivery implements Delivery {
  readonly requests: ContentRequest[] = [];
  readonly reads: { url: string; start: number; end: number | undefined }[] = [];
  /** By path: what is at hand. */
  inMemory: Record<string, FakeObject> = {};
  opened = 0;
  closed = 0;
  readonly #find: (path: string) => FakeObject | Promise<FakeObject> | undefined;

  readonly #remember: boolean;

  constructor(
    find: (path: string) => FakeObject | Promise<FakeObject> | undefined,
    options: { remember: boolean } = { remember: true },
  ) {
    this.#find = find;
    this.#remember = options.remember;
  }

  atHand(request: Omit<ContentRequest, 'signal'>): Content | undefined {
    const found = this.inMemory[new URL(request.url).pathname];
    if (found) this.opened++;
    return found && this.#content(request.url, found);
  }

  async get(request: ContentRequest): Promise<Content> {
    if (this.#remember) this.requests.push(request);
    const found = await this.#find(new URL(request.url).pathname);
    if (!found) {
      throw new HerdError('NOT_FOUND', `${request.url} is not there`, {
        tried: ['upstream: answers 404'],
      });
    }
    this.opened++;
    return this.#content(request.url, found);
  }

  #content(url: string, { bytes = Buffer.alloc(0), ...object }: FakeObject): Content {
    return {
      digest: object.digest ?? (digestOf(bytes) as Digest),
      size: bytes.length,
      mustRestart: false,
      read: (start, end) => inPieces(bytes.subarray(start, end)),
      ...object,
      ...(object.read
        ? {
            read: (start: number, end: number | undefined, signal: AbortSignal) => {
              if (this.#remember) this.reads.push({ url, start, end });
              return object.read!(start, end, signal);
            },
          }
        : {}),
      close: () => {
        this.closed++;
      },
    };
  }
}

export async function* inPieces(bytes: Buffer, size = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
