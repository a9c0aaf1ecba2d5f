import type { XmlElement } from "../xml-writer.ts";

const NAME = "openlambda";

/** There is one owner of everything. Clients show the name. */
export const ownerElement = (name = "Owner"): XmlElement => [
  name,
  [
    ["ID", NAME],
    ["DisplayName", NAME],
  ],
];

const XSI = { "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "xsi:type": "CanonicalUser" };

/** The owner may do everything, nobody else anything. s3cmd fails on a grantee without `xsi:type`. */
export const accessControl = (): XmlElement => [
  "AccessControlPolicy",
  [
    ownerElement(),
    [
      "AccessControlList",
      [
        [
          "Grant",
          [
            [
              "Grantee",
              [
                ["ID", NAME],
                ["DisplayName", NAME],
              ],
              XSI,
            ],
            ["Permission", "FULL_CONTROL"],
          ],
        ],
      ],
    ],
  ],
];
