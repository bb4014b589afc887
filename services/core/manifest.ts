/**
 * The shape builders return: one literal, read top to bottom like YAML, where `undefined` means absent.
 *
 * The client's models declare optional members without `undefined`; under `exactOptionalPropertyTypes` that would force
 * a conditional spread for every optional field. `Manifest` removes that friction and nothing else.
 */

/** A Kubernetes object as it is to be applied: deeply read-only, every member may be `undefined`, which means absent. */
export type Manifest<T> = T extends Date
  ? string
  : T extends readonly (infer E)[]
    ? readonly Manifest<E>[]
    : T extends object
      ? { readonly [K in keyof T]: Manifest<T[K]> | undefined }
      : T;

/** The members every manifest has, whatever its kind. */
export interface AnyManifest {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata?:
    | {
        readonly name?: string | undefined;
        readonly namespace?: string | undefined;
        readonly labels?: Readonly<Record<string, string | undefined>> | undefined;
        readonly annotations?: Readonly<Record<string, string | undefined>> | undefined;
      }
    | undefined;
}

/** A controller reference as this operator writes it (contract, section 1: `blockOwnerDeletion` is not set). */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller: true;
  readonly blockOwnerDeletion?: undefined;
}
