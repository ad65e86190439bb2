/** The adapter as plain data, apart from the device so that a page can import the type without the platform's. */

/** The adapter in words, and what was taken of it. */
export interface AdapterFacts {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly features: readonly string[];
  readonly maxBindingBytes: number;
  readonly isFallback: boolean;
}
